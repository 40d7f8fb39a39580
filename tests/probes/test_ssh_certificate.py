"""Logging in with a certificate an authority signed: a real sshd that trusts the authority and knows no key."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.reading import FailureKind, Reading, Secret
from probes import catalogue
from probes.once import look_once
from probes.ssh import certificate
from tests.probes.sshserver import Server, keygen, sshd


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    keygen(tmp_path / "ca")
    return tmp_path / "ca"


@pytest.fixture
def server(authority: Path) -> Iterator[Server]:
    with sshd(f"TrustedUserCAKeys {authority}.pub") as running:
        (running.directory / "user.pub").write_text("")  # no key is known: the certificate alone opens
        yield running


def signed(authority: Path, *words: str, kind: str = "ed25519", people: str = "root") -> Secret:
    """A fresh key with a certificate for `people`."""
    path = authority.parent / f"key{len(list(authority.parent.iterdir()))}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "pantau-test", "-n", people, "-z", "7", *words, f"{path}.pub"],
        check=True,
    )
    return Secret("root", private_key=path.read_text(), certificate=Path(f"{path}-cert.pub").read_text())


def look(server: Server, secret: Secret) -> Reading:
    probe = catalogue()["ssh"]
    return look_once(probe, "127.0.0.1", probe.options(port=server.port), secret, 20.0)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_opens_where_no_key_is_known(server: Server, authority: Path, kind: str) -> None:
    secret = signed(authority, "-V", "-1h:+1h", kind=kind)
    reading = look(server, secret)
    assert reading.failure is None
    assert "pantau-test" in server.log
    bare = look(server, Secret("root", private_key=secret.private_key))
    assert bare.failure is not None
    assert bare.failure.kind is FailureKind.DENIED


def test_a_certificate_that_has_ended_or_is_for_another_user_is_refused_by_the_machine(
    server: Server, authority: Path
) -> None:
    for secret in (signed(authority, "-V", "-2h:-1h"), signed(authority, "-V", "-1h:+1h", people="somebody")):
        failed = look(server, secret).failure
        assert failed is not None
        assert failed.kind is FailureKind.DENIED


def test_another_keys_certificate_is_said_before_the_machine_hears_of_it(server: Server, authority: Path) -> None:
    one, other = signed(authority), signed(authority)
    before = server.log.count("Connection from")
    failed = look(server, Secret("root", private_key=one.private_key, certificate=other.certificate)).failure
    assert failed is not None
    assert "does not belong to its key" in failed.detail
    assert server.log.count("Connection from") == before


def test_what_a_certificate_says_is_read(authority: Path) -> None:
    found = certificate.read(signed(authority, "-V", "-1h:+13d", people="root,admin").certificate)
    assert (found.key_id, found.serial, found.people) == ("pantau-test", 7, ("root", "admin"))
    assert found.until is not None
    assert timedelta(days=12) < found.until - datetime.now(UTC) < timedelta(days=14)
    assert certificate.read(signed(authority).certificate).until is None


def test_what_is_no_certificate_for_a_login_is_a_sentence(authority: Path) -> None:
    host = authority.parent / "host"
    keygen(host)
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "h", "-h", f"{host}.pub"], check=True)
    wrong = {
        Path(f"{host}-cert.pub").read_text(): "machine's own",
        Path(f"{host}.pub").read_text(): "public key itself",
        host.read_text(): "one line",
        "": "one line",
        "ssh-ed25519-cert-v01@openssh.com AAAA": "cannot be read|can be read",
        "/etc/passwd /etc/shadow": "can be read",
        "x" * 40000: "one line",
    }
    for text, sentence in wrong.items():
        with pytest.raises(certificate.NoCertificate, match=sentence):
            certificate.read(text)
