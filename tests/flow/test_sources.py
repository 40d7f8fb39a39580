"""Secrets kept elsewhere: fetched at use from where the settings allow, and from nowhere else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.settings import SettingsError, load
from config.vault import VaultError
from domain.inventory import fetched_wrong
from poller.sources import Sources
from tests.webpeers import Authority, Web, redirect, response, web

TOKEN = "hvs.canary-token"
KV = {"data": {"data": {"password": "from the vault", "number": 5}, "metadata": {"version": 3}}}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return path


def wrong(sources: Sources, source: str) -> str:
    """The sentence why it cannot be fetched."""
    with pytest.raises(VaultError) as caught:
        sources.fetch(source)
    sentence = str(caught.value)
    assert sentence.endswith(".") or "Run: chmod" in sentence
    assert TOKEN not in sentence
    return sentence


def test_a_variable_of_the_pollers_own_but_none_of_pantaus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_DB", "s3cret")
    assert Sources().fetch("env:SECRET_DB") == "s3cret"
    assert "is not set" in wrong(Sources(), "env:SECRET_OTHER")
    for name in ("DATABASE_URL", "PANTAU_METRICS_TOKEN", "PATH", "SECRET_DB; rm", "SECRET_é", ""):
        assert "begins with SECRET_" in wrong(Sources(), f"env:{name}")


def test_a_file_only_within_a_directory_that_is_allowed_and_only_if_it_is_private(tmp_path: Path) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    for directory in (allowed, outside):
        directory.mkdir()
        (directory / "s").write_text("in a file\n")
        (directory / "s").chmod(0o600)
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "allowed-not" / "s").write_text("x")
    (allowed / "link").symlink_to(outside / "s")
    sources = Sources((allowed,))
    assert sources.fetch(f"file:{allowed}/s") == "in a file\n"
    for path in (f"{outside}/s", f"{allowed}/../outside/s", f"{allowed}/link", f"{tmp_path}/allowed-not/s"):
        if Path(path).exists():
            Path(path).chmod(0o600)
        assert "in none of the directories" in wrong(sources, f"file:{path}")
    assert "in none of the directories" in wrong(Sources(), f"file:{allowed}/s")
    (allowed / "open").write_text("x")
    (allowed / "open").chmod(0o644)
    assert "chmod 640" in wrong(sources, f"file:{allowed}/open")
    assert "No such file" in wrong(sources, f"file:{allowed}/nothing")
    os.mkfifo(allowed / "pipe", 0o600)
    assert "is not a file" in wrong(sources, f"file:{allowed}/pipe")
    (allowed / "big").write_bytes(b"x" * 70000)
    (allowed / "big").chmod(0o600)
    assert "larger than a secret" in wrong(sources, f"file:{allowed}/big")
    assert "whole path" in wrong(sources, "file:relative/path")


@pytest.fixture
def kv(tmp_path: Path, token: Path) -> Iterator[Callable[..., tuple[Sources, Web]]]:
    """Starts a vault over TLS that answers so, and gives what fetches from it."""
    opened = []

    authority = Authority(tmp_path)
    (tmp_path / "authority.pem").write_text(authority.pem)

    def start(reply: Callable[..., bytes]) -> tuple[Sources, Web]:
        tls, _ = authority.server("127.0.0.1")
        context = web(reply, tls=tls)
        running = context.__enter__()
        opened.append(context)
        where = f"https://127.0.0.1:{running.port}"
        return Sources(server=where, token_file=token, authority=tmp_path / "authority.pem"), running

    yield start
    for context in opened:
        context.__exit__(None, None, None)


def test_a_field_of_a_vault_is_fetched_with_the_token_over_tls_and_kept_a_minute(
    kv: Callable[..., tuple[Sources, Web]],
) -> None:
    sources, asked = kv(lambda request: response(body=json.dumps(KV).encode()))
    moment = [0.0]
    sources.now = lambda: moment[0]
    assert sources.fetch("vault:secret/prod/db#password") == "from the vault"
    assert asked.requests[0].path == "/v1/secret/data/prod/db"
    assert asked.requests[0].headers["x-vault-token"] == TOKEN
    moment[0] = 59
    sources.fetch("vault:secret/prod/db#password")
    assert len(asked.requests) == 1
    moment[0] = 61
    sources.fetch("vault:secret/prod/db#password")
    assert len(asked.requests) == 2
    assert "no field 'other'" in wrong(sources, "vault:secret/prod/db#other")
    assert "is not text" in wrong(sources, "vault:secret/prod/db#number")


def test_a_vault_that_is_not_who_it_says_gets_no_token(kv: Callable[..., tuple[Sources, Web]]) -> None:
    sources, asked = kv(lambda request: response(body=json.dumps(KV).encode()))
    sources.authority = None
    assert "is not trusted" in wrong(sources, "vault:secret/prod/db#password")
    assert asked.requests == []


def test_a_vault_that_sends_elsewhere_refuses_or_floods_is_a_sentence(kv: Callable[..., tuple[Sources, Web]]) -> None:
    answers = {
        "redirect": redirect("http://127.0.0.1:1/v1/secret/data/x"),
        "denied": response("403 Forbidden", b'{"errors": ["permission denied"]}'),
        "missing": response("404 Not Found", b"{}"),
        "nonsense": response(body=b"<html>"),
        "flood": response(body=b"x" * (2 << 20)),
    }
    sources, _ = kv(lambda request: answers[request.path.rsplit("/", 1)[1]])
    assert "answers 302" in wrong(sources, "vault:secret/redirect#f")
    assert "may not read it" in wrong(sources, "vault:secret/denied#f")
    assert "is not there" in wrong(sources, "vault:secret/missing#f")
    assert "no field" in wrong(sources, "vault:secret/nonsense#f")
    assert "too long" in wrong(sources, "vault:secret/flood#f")


def test_without_a_vault_or_its_token_that_is_said(token: Path) -> None:
    assert "No vault is set" in wrong(Sources(), "vault:secret/x#f")
    token.chmod(0o644)
    assert "chmod 600" in wrong(Sources(server="https://127.0.0.1:1", token_file=token), "vault:secret/x#f")
    token.chmod(0o600)
    assert "cannot be reached" in wrong(Sources(server="https://127.0.0.1:1", token_file=token), "vault:secret/x#f")


@pytest.mark.parametrize(
    "source", ["vault:secret/../sys/x#f", "vault:secret#f", "vault:secret/x", "vault:a b/c#d", "http://x", "", "vault:/x#f"]
)  # fmt: skip
def test_a_place_that_is_no_place_is_refused_before_anybody_is_asked(source: str) -> None:
    assert fetched_wrong(source)
    assert wrong(Sources(), source)


@pytest.mark.parametrize("url", ["http://vault.example.com", "https://user:pw@vault", "ftp://x", "vault"])
def test_a_vault_without_tls_is_no_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="vault_url"):
        load(vault_url=url)
