"""The vault: what is sealed for one place opens there alone, and only with a whole and private key."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from config import vault
from config.vault import VaultError
from domain.inventory import Check, Credential, Host
from poller.plan import load as plan

PLACES = ("key", "pub")
FIRST_KEY = "40a48af36768e783943cfb39217d7182691e45134bc8b1466b6c7a74c803545c"
FIRST_BOX = "018d758c74a24193ab0a8862e8bbae35b92ac1f9d87d7d90ea163324349747b904c55e1d3e64f72db77cf1ab884b56fdca5025b43f13c368dcaec32edf57bee082afa98c1cf2e5"
"""Made by the first version of the vault."""


@pytest.fixture
def pair(tmp_path: Path) -> tuple[vault.Sealer, vault.Opener]:
    key, public = (tmp_path / f"vault.{name}" for name in PLACES)
    assert vault.create(key, public)
    return vault.sealer(public), vault.opener(key)


def test_what_is_sealed_opens_for_its_place(pair: tuple[vault.Sealer, vault.Opener]) -> None:
    sealer, opener = pair
    assert opener.open(sealer.seal(b"secret", "credential:1"), "credential:1") == b"secret"


def test_the_same_secret_is_never_sealed_the_same_way(pair: tuple[vault.Sealer, vault.Opener]) -> None:
    assert pair[0].seal(b"secret", "p") != pair[0].seal(b"secret", "p")


def test_a_ciphertext_moved_to_another_place_does_not_open(pair: tuple[vault.Sealer, vault.Opener]) -> None:
    sealed = pair[0].seal(b"secret", "credential:1")
    with pytest.raises(VaultError, match="does not open"):
        pair[1].open(sealed, "credential:2")


def test_a_changed_cut_or_foreign_box_does_not_open(pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path) -> None:
    sealed = pair[0].seal(b"secret", "p")
    for number in range(len(sealed)):
        with pytest.raises(VaultError):
            pair[1].open(sealed[:number] + bytes([sealed[number] ^ 1]) + sealed[number + 1 :], "p")
        with pytest.raises(VaultError):
            pair[1].open(sealed[:number], "p")
    vault.create(tmp_path / "other.key", tmp_path / "other.pub")
    with pytest.raises(VaultError):
        vault.opener(tmp_path / "other.key").open(sealed, "p")


def test_swapped_rows_give_no_secret_and_a_fault_that_a_person_can_read(
    session: Session, pair: tuple[vault.Sealer, vault.Opener]
) -> None:
    for name in ("a", "b"):
        sealed = pair[0].seal(b'{"password": "for ' + name.encode() + b'"}', f"credential:{name}")
        login = Credential(name=name, kind="password", username="u", sealed=sealed, seal_id=name)
        host = Host(name=name, address="192.0.2.1")
        host.checks.append(Check(kind="http", name="http", credential=login))
        session.add(host)
    session.commit()
    sessions = sessionmaker(session.get_bind())
    before = [check for host in plan(sessions, pair[1], 60, 3).hosts.values() for check in host.checks]
    assert [check.secret.password for check in before if check.secret] == ["for a", "for b"]
    session.execute(text("update credential c set sealed = o.sealed from credential o where o.name <> c.name"))
    session.commit()
    after = [check for host in plan(sessions, pair[1], 60, 3).hosts.values() for check in host.checks]
    assert [check.secret for check in after] == [None, None]
    assert all("Enter the credential again" in check.fault for check in after)


def test_the_key_is_private_and_the_public_half_is_not(pair: object, tmp_path: Path) -> None:
    modes = [stat.S_IMODE((tmp_path / f"vault.{name}").stat().st_mode) for name in PLACES]
    assert modes == [0o600, 0o644]


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(pair: object, tmp_path: Path) -> None:
    (tmp_path / "vault.key").chmod(0o640)
    with pytest.raises(VaultError, match="chmod 600"):
        vault.opener(tmp_path / "vault.key")


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"\xff\xfe", b"00" * 33])
def test_a_damaged_key_is_said_and_never_replaced(pair: object, tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "vault.key"
    key.write_bytes(content)
    for use in (lambda: vault.opener(key), lambda: vault.create(key, tmp_path / "vault.pub")):
        with pytest.raises(VaultError, match="damaged"):
            use()
    assert key.read_bytes() == content


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="missing"):
        vault.opener(tmp_path / "vault.key")


def test_a_lost_public_half_is_made_again_from_the_key(pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path) -> None:
    (tmp_path / "vault.pub").unlink()
    assert not vault.create(tmp_path / "vault.key", tmp_path / "vault.pub")
    assert vault.sealer(tmp_path / "vault.pub") == pair[0]


def test_a_key_is_never_printed(pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path) -> None:
    private = vault.read_keys(tmp_path / "vault.key")[0]
    assert private.hex() not in repr(pair[1]) and repr(private) not in repr(pair[1])


def test_a_box_of_the_first_form_still_opens(tmp_path: Path) -> None:
    (tmp_path / "vault.key").write_text(FIRST_KEY + "\n")
    (tmp_path / "vault.key").chmod(0o600)
    opener = vault.opener(tmp_path / "vault.key")
    assert opener.open(bytes.fromhex(FIRST_BOX), "credential:first") == b"what was sealed before"
    with pytest.raises(VaultError, match="does not open"):
        opener.open(bytes.fromhex(FIRST_BOX), "credential:other")


def test_a_row_takes_no_box_that_was_sealed_for_another_even_with_its_place(
    pair: tuple[vault.Sealer, vault.Opener],
) -> None:
    seal_id = vault.new_place(5)
    assert pair[1].open(
        pair[0].seal(b"s", vault.place("credential", 5, seal_id)), vault.place("credential", 5, seal_id)
    )
    for other in (6, 55, "", "5/"):
        with pytest.raises(VaultError, match="another row"):
            vault.place("credential", other, seal_id)
    with pytest.raises(VaultError, match="this place"):
        pair[1].open(pair[0].seal(b"s", vault.place("credential", 5, seal_id)), vault.place("channel", 5, seal_id))


def test_an_opener_finds_a_key_made_after_it(pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path) -> None:
    key, public = tmp_path / "vault.key", tmp_path / "vault.pub"
    old, new = vault.read_keys(key)[0], vault.generate()
    before = pair[0].seal(b"before", "p")
    vault.write_keys(key, new, old)
    vault.write_public(public, new)
    after = vault.sealer(public).seal(b"after", "p")
    assert vault.sealed_for(before) != vault.sealed_for(after)
    assert (pair[1].open(before, "p"), pair[1].open(after, "p")) == (b"before", b"after")
    vault.write_keys(key, new)
    with pytest.raises(VaultError, match=vault.sealed_for(before).hex()):
        vault.opener(key).open(before, "p")


def test_what_only_seals_opens_nothing(pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path) -> None:
    """All the web has is the public half: taken as a private one it opens nothing."""
    sealed = pair[0].seal(b"secret", "p")
    with pytest.raises(VaultError):
        vault.Opener(pair[0].public).open(sealed, "p")


def test_a_sealing_half_is_changed_in_the_file_it_is_in_and_never_half(
    pair: tuple[vault.Sealer, vault.Opener], tmp_path: Path
) -> None:
    """The web, shut out of all other files, holds on to this one; and what it seals for must be one key or the other."""
    public = tmp_path / "vault.pub"
    before, keys = public.stat().st_ino, [vault.generate() for _ in range(2)]
    known = {vault.public_of(key) for key in keys} | {pair[0].public}
    done = threading.Event()

    def change() -> None:
        for number in range(300):
            vault.write_public(public, keys[number % 2])
        done.set()

    writer = threading.Thread(target=change)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(vault.sealer(public).public)
    writer.join()
    assert seen <= known
    assert public.stat().st_ino == before
    public.write_text(vault.public_of(keys[0]).hex() + " " + vault.number_of(vault.public_of(keys[1])).hex())
    with pytest.raises(VaultError, match="damaged"):
        vault.sealer(public)
    public.write_text(vault.public_of(keys[0]).hex() + "\n")  # as the first version wrote it
    assert vault.sealer(public).public == vault.public_of(keys[0])
