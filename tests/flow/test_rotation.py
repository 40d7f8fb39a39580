"""A new key for the vault, and the power cord pulled at every moment of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import vault
from config.vault import Opener, VaultError
from poller import rotation
from poller.rotation import Ring
from tests.installation import Browser, Installation, command, until

KILLS = int(os.environ.get("ROTATION_KILLS", "50"))
ROWS, BATCH = 60, 4
CONTEXT = multiprocessing.get_context("forkserver")


def spun(database_url: str, ring: Ring, batch: int) -> None:
    """What the process that gets killed does."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        rotation.rotate(connection, ring, lambda text: None, batch)


@pytest.fixture
def ring(place: Path) -> Ring:
    made = Ring("vault", place / "vault.key", place / "vault.pub", rotation.VAULT)
    vault.create(made.key, made.public)
    return made


@pytest.fixture
def line(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def store(line: psycopg.Connection, ring: Ring, name: str, *, first_form: bool = False) -> int:
    """A credential as the web stores it; the id of its row."""
    row = line.execute("select nextval(pg_get_serial_sequence('credential', 'id'))").fetchone()
    assert row
    id = int(row[0])
    seal_id = f"old{id}" if first_form else vault.new_place(id)
    secret = json.dumps({"password": f"secret of {name}"}).encode()
    line.execute(
        "insert into credential (id, name, kind, username, sealed, seal_id) values (%s, %s, 'password', 'u', %s, %s)",
        [id, name, vault.sealer(ring.public).seal(secret, vault.place("credential", id, seal_id)), seal_id],
    )
    return id


def opening(line: psycopg.Connection, ring: Ring) -> dict[str, int]:
    """Credential -> with how many of the keys in the key file it opens, each tried alone."""
    found = {}
    for id, name, sealed, seal_id in line.execute("select id, name, sealed, seal_id from credential"):
        count = 0
        for key in vault.read_keys(ring.key):
            try:
                secret = Opener(key).open(bytes(sealed), vault.place("credential", id, seal_id))
                assert json.loads(secret) == {"password": f"secret of {name}"}
                count += 1
            except VaultError:
                pass
        found[name] = count
    return found


@pytest.mark.timeout(600)
def test_killed_at_fifty_random_moments_every_secret_opens_with_exactly_one_key(
    line: psycopg.Connection, database_url: str, ring: Ring
) -> None:
    chance = random.Random(20261121)
    CONTEXT.set_forkserver_preload(["poller.rotation", "tests.flow.test_rotation"])
    for number in range(ROWS):
        store(line, ring, f"c{number}")
    for _ in range(2):  # the second one is measured: the first waits for the server that forks
        begun = time.monotonic()
        whole = CONTEXT.Process(target=spun, args=(database_url, ring, BATCH))
        whole.start()
        whole.join(60)
        assert whole.exitcode == 0
        length = time.monotonic() - begun
    killed = finished = two = 0
    while killed < KILLS:
        child = CONTEXT.Process(target=spun, args=(database_url, ring, BATCH))
        child.start()
        child.join(chance.uniform(0, length * 1.1))
        if child.is_alive():
            assert child.pid
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        else:
            finished += 1
        child.join(60)
        two += len(vault.read_keys(ring.key)) == 2
        store(line, ring, f"typed after {killed + finished}")  # the web goes on sealing with the half it has
        assert set(opening(line, ring).values()) == {1}
    print(f"{killed} killed, {finished} finished, {two} times two keys were left; a whole one takes {length:.2f} s")
    assert two > KILLS / 10, "the kills came too early or too late to matter"
    spun(database_url, ring, BATCH)
    assert len(vault.read_keys(ring.key)) == 1
    assert vault.public_of(vault.read_keys(ring.key)[0]) == vault.sealer(ring.public).public
    assert set(opening(line, ring).values()) == {1}
    assert not list(rotation.lost(line, ring, vault.opener(ring.key)))


def test_the_old_key_opens_nothing_afterwards(line: psycopg.Connection, database_url: str, ring: Ring) -> None:
    store(line, ring, "a")
    before = vault.read_keys(ring.key)
    spun(database_url, ring, BATCH)
    sealed, seal_id = line.execute("select sealed, seal_id from credential").fetchone() or (b"", "")
    with pytest.raises(VaultError):
        Opener(*before).open(bytes(sealed), f"credential:{seal_id}")
    assert opening(line, ring) == {"a": 1}


def test_a_poller_that_runs_goes_on_opening_what_is_sealed_while_the_key_changes(
    line: psycopg.Connection, database_url: str, ring: Ring
) -> None:
    running = vault.opener(ring.key)
    store(line, ring, "a")
    spun(database_url, ring, BATCH)
    store(line, ring, "b")
    for id, name, sealed, seal_id in line.execute("select id, name, sealed, seal_id from credential"):
        assert name.encode() in running.open(bytes(sealed), vault.place("credential", id, seal_id))


def test_what_was_sealed_for_a_key_that_is_gone_is_refused_by_the_database(
    line: psycopg.Connection, database_url: str, ring: Ring
) -> None:
    late = vault.sealer(ring.public).seal(b"{}", "credential:late")
    spun(database_url, ring, BATCH)
    with pytest.raises(psycopg.errors.RaiseException, match="new key since"):
        line.execute(
            "insert into credential (name, kind, sealed, seal_id) values ('late', 'password', %s, 'late')", [late]
        )


def test_what_is_lost_already_is_named_and_holds_nothing_up(
    line: psycopg.Connection, database_url: str, ring: Ring, place: Path
) -> None:
    good, bad = store(line, ring, "good"), store(line, ring, "bad")
    store(line, ring, "old", first_form=True)
    line.execute("update credential set sealed = set_byte(sealed, 60, (get_byte(sealed, 60) + 1) %% 256) where id = %s", [bad])  # fmt: skip
    result = rotation.rotate(line, ring, lambda text: None, 2)
    assert (result.sealed, result.lost) == (2, [f"credential {bad}"])
    assert opening(line, ring) == {"good": 1, "bad": 0, "old": 1}
    row = line.execute("select seal_id from credential where id = %s", [good]).fetchone()
    assert row and row[0].startswith(f"{good}/")


def test_two_at_once_are_one_and_a_sentence(line: psycopg.Connection, database_url: str, ring: Ring) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s, hashtext('vault'))", [rotation.LOCK])
        with pytest.raises(VaultError, match="being changed already"):
            rotation.rotate(line, ring, lambda text: None)


def test_that_the_key_is_new_is_on_record(line: psycopg.Connection, database_url: str, ring: Ring) -> None:
    store(line, ring, "a")
    rotation.rotate(line, ring, lambda text: None)
    row = line.execute("select detail from audit where what = 'vault.rotated'").fetchone()
    assert row
    assert (row[0]["sealed"], row[0]["lost"]) == (1, [])
    assert vault.read_keys(ring.key)[0].hex() not in json.dumps(row[0])


def test_in_a_running_installation_forms_go_on_and_every_secret_opens(running: Installation, rina: Browser) -> None:
    mail = {"option-host": "127.0.0.1", "option-sender": "p@example.org", "option-security": "none", "option-port": "1",
            "option-username": "u", "secret-password": "x"}  # fmt: skip
    for name in ("before", "after"):
        login = {"name": name, "username": "u", "password": f"secret of {name}"}
        assert rina.post("/credentials/new", login).status_code == 303
        assert rina.post("/channels/new?kind=email", {**mail, "name": name}).status_code == 303
        if name == "before":
            done = command("--data", str(running.directory), "vault", "rotate")
            assert done.returncode == 0, done.stderr
            assert "1 secrets are sealed anew" in done.stdout
    checked = command("--data", str(running.directory), "vault", "check")
    assert (checked.returncode, checked.stdout) == (0, "Every stored secret opens with the keys that are there.\n")
    numbers = running.query("select distinct substring(sealed from 2 for 4) from credential union all select distinct substring(sealed from 2 for 4) from channel")  # fmt: skip
    assert len(numbers) == 2, "one key for each of the two rooms"
    host = running.query("insert into host (name, address, interval_s) values ('m', '127.0.0.1', 1) returning id")[0][0]
    for (id,) in running.query("select id from credential"):
        running.query(
            "insert into host_check (host_id, kind, name, options, credential_id) values (%s, 'ssh', %s, '{\"port\": 1}', %s)",
            [host, f"c{id}", id],
        )
    said = until(lambda: found if len(found := running.query("select detail from failure")) >= 2 else None, 60)
    assert not [detail for (detail,) in said if "does not open" in detail]
