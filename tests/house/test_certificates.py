"""Certificates: made, renewed, shown; and whose word about where a request comes from counts."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from flask import Flask, request

from config import tls
from config.settings import Settings, SettingsError, load, networks_of
from tests.installation import command, installed, until
from webui import forwarded

AT = datetime.now(UTC)


def names(place: Path) -> set[str]:
    found = x509.load_pem_x509_certificate(tls.own(place).certificate.read_bytes())
    there = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(one.value) for one in there}


def test_a_certificate_is_made_once_and_renewed_before_its_end_or_for_a_new_name(place: Path) -> None:
    assert tls.ensure(place, ["monitor.example.com", "10.0.0.5"], AT)
    root = tls.authority(place).read_bytes()
    assert names(place) == {"monitor.example.com", "10.0.0.5"}
    assert not tls.ensure(place, ["monitor.example.com"], AT + timedelta(days=365))
    assert tls.ensure(place, ["monitor.example.com"], AT + timedelta(days=370))
    assert tls.ensure(place, ["monitor.example.com", "second.example.com"], AT)
    assert tls.authority(place).read_bytes() == root  # what browsers were told to trust stays
    for key in ("ca.key", "server.key"):
        assert (place / key).stat().st_mode & 0o077 == 0


def test_what_is_no_name_is_refused_with_a_sentence(place: Path) -> None:
    with pytest.raises(tls.TlsError, match="no name"):
        tls.ensure(place, ["a" * 70 + ".example"], AT)


def test_files_that_do_not_belong_together_are_told_before_anything_starts(place: Path) -> None:
    for name in ("one", "two"):
        tls.ensure(place / name, ["localhost"], AT)
    with pytest.raises(tls.TlsError, match="cannot be used"):
        tls.Pair(place / "one" / "server.pem", place / "two" / "server.key").verify()
    with pytest.raises(tls.TlsError, match="cannot be used"):
        tls.Pair(place / "nowhere.pem", place / "one" / "server.key").verify()


def test_an_installation_with_its_own_certificate_is_reached_over_https_alone() -> None:
    with installed(PANTAU_TLS="own") as running:
        trust = str(running.directory / "tls" / "ca.pem")
        secure = f"https://localhost:{running.port}"

        def there() -> bool:
            try:
                return requests.get(f"{secure}/healthz", timeout=3, verify=trust).status_code == 200
            except requests.RequestException:
                return False

        until(there)
        answer = requests.get(f"{secure}/setup?token={running.token}", timeout=10, verify=trust)
        assert answer.headers["Strict-Transport-Security"]
        assert all(cookie.name.startswith("__Host-") for cookie in answer.cookies)
        assert f"https://127.0.0.1:{running.port}" in running.printed
        with pytest.raises(requests.RequestException):
            requests.get(f"http://localhost:{running.port}/healthz", timeout=5)
        old = ssl.create_default_context(cafile=trust)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("127.0.0.1", running.port)) as line,
            old.wrap_socket(line, server_hostname="localhost"),
        ):
            pass


def test_files_without_their_names_keep_it_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_TLS", "files")
    with pytest.raises(SettingsError, match="certificate"):
        load()
    done = command("up", "--data", "/nowhere", PANTAU_TLS="files")
    assert done.returncode == 1
    assert "certificate" in done.stderr


@pytest.mark.parametrize(
    "proxies, comes, scheme, told",
    [
        ("10.0.0.0/24", "10.0.0.7", "https", "203.0.113.9"),
        ("10.0.0.0/24", "10.0.1.7", "http", "10.0.1.7"),
        (None, "127.0.0.1", "http", "127.0.0.1"),
        ("::1", "::1", "https", "203.0.113.9"),
    ],
)
def test_what_a_proxy_says_counts_where_it_is_listed(proxies: str | None, comes: str, scheme: str, told: str) -> None:
    app = Flask("behind")
    app.add_url_rule("/", "seen", lambda: f"{request.scheme} {request.remote_addr}")
    forwarded.install(app, networks_of(proxies))
    says = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Proto": "https"}
    answer = app.test_client().get("/", headers=says, environ_base={"REMOTE_ADDR": comes})
    assert answer.text == f"{scheme} {told}"


def test_a_wrong_list_of_proxies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANTAU_PROXIES", "everybody")
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1, 10\.0\.0\.0/24"):
        load()
    assert Settings(proxies="10.0.0.0/8").proxies == "10.0.0.0/8"
