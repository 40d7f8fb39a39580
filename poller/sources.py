"""Secrets that are kept elsewhere: fetched by the poller at the moment of use, kept a minute in memory, stored nowhere.

`env:SECRET_NAME` is a variable of the poller's own environment, `file:/path` a file in one of the directories the
settings allow, `vault:mount/path#field` a field of a HashiCorp Vault or OpenBao (KV version 2). Where a secret is
fetched from is typed by an administrator in the web, so it is held to what the settings of this machine allow: a taken-over
web must not read the poller's files or its database password through it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from config.settings import Settings
from config.vault import VaultError
from domain.inventory import fetched_wrong

LONGEST = 64 << 10
KEPT, KEPT_WRONG = 60.0, 10.0
"""Seconds a fetched secret, or the reason why it could not be, is kept in memory."""
PATIENCE = (3.0, 5.0)
MOST = 1 << 20


@dataclass
class Sources:
    """What the settings allow; `fetch` gives a secret's text. Safe to call from several threads."""

    directories: tuple[Path, ...] = ()
    server: str | None = None
    token_file: Path | None = None
    authority: Path | None = None
    now: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, str, str]] = field(default_factory=dict, repr=False)
    _locks: dict[str, threading.Lock] = field(default_factory=dict, repr=False)

    def fetch(self, source: str) -> str:
        """The secret kept at `source`. Raises VaultError with one sentence, which never holds a secret."""
        with self._locks.setdefault(source, threading.Lock()):  # fifty checks of one login ask once
            until, text, wrong = self._kept.get(source, (0.0, "", ""))
            if self.now() >= until:
                text, wrong = self._ask(source)
                self._kept[source] = (self.now() + (KEPT_WRONG if wrong else KEPT), text, wrong)
        if wrong:
            raise VaultError(wrong)
        return text

    def forget(self) -> None:
        """Fetch everything anew at its next use."""
        self._kept.clear()

    def _ask(self, source: str) -> tuple[str, str]:
        wrong = fetched_wrong(source)
        if wrong:
            return "", wrong
        how, _, place = source.partition(":")
        try:
            text = {"env": _variable, "file": self._file, "vault": self._remote}[how](place)
        except VaultError as error:
            return "", str(error)
        if not text.strip() or len(text) > LONGEST:
            return "", f"What is kept at {source} is empty or larger than a secret can be."
        return text, ""

    def _file(self, place: str) -> str:
        try:
            path = Path(place).resolve(strict=True)
            if not any(path.is_relative_to(one.resolve()) for one in self.directories):
                raise VaultError(f"The file {place} is in none of the directories that PANTAU_SECRET_DIRS allows.")
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as opened:
                found = os.fstat(opened.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise VaultError(f"{place} is not a file.")
                if stat.S_IMODE(found.st_mode) & 0o007:
                    raise VaultError(f"The file {place} can be read by everybody. Run: chmod 640 {place}")
                return opened.read(LONGEST + 1).decode()
        except OSError as error:
            raise VaultError(f"The file {place} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise VaultError(f"The file {place} is not text.") from None

    def _remote(self, place: str) -> str:
        if self.server is None or self.token_file is None:
            raise VaultError("No vault is set. Set PANTAU_VAULT_URL and PANTAU_VAULT_TOKEN_FILE for the poller.")
        path, _, name = place.partition("#")
        mount, _, rest = path.partition("/")
        address = f"{self.server.rstrip('/')}/v1/{quote(mount)}/data/{quote(rest)}"
        answer = self._get(address, _token(self.token_file), path)
        try:
            value = json.loads(answer)["data"]["data"][name]
        except (ValueError, KeyError, TypeError):
            raise VaultError(f"The vault has no field '{name}' at {path}.") from None
        if not isinstance(value, str):
            raise VaultError(f"The field '{name}' at {path} in the vault is not text.")
        return value

    def _get(self, address: str, token: str, path: str) -> bytes:
        where = urlsplit(address).netloc
        try:
            with requests.get(
                address,
                headers={"X-Vault-Token": token, "X-Vault-Request": "true"},
                timeout=PATIENCE,
                verify=str(self.authority) if self.authority else True,
                allow_redirects=False,  # the token goes to the server that is set, and to no other
                stream=True,
            ) as answer:
                if answer.status_code != 200:
                    why = {403: "its token may not read it", 404: "it is not there"}.get(answer.status_code, "")
                    raise VaultError(
                        f"The vault at {where} does not give {path}: {why or f'it answers {answer.status_code}'}."
                    )
                return _bounded(answer)
        except requests.exceptions.SSLError:
            raise VaultError(f"The certificate of the vault at {where} is not trusted. Set PANTAU_VAULT_CA.") from None
        except (requests.RequestException, OSError) as error:
            raise VaultError(f"The vault at {where} cannot be reached ({type(error).__name__}).") from None


def of(settings: Settings) -> Sources:
    """What this machine's settings allow."""
    return Sources(
        tuple(Path(one) for one in (settings.secret_dirs or "").split(os.pathsep) if one),
        settings.vault_url,
        settings.vault_token_file,
        settings.vault_ca,
    )


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise VaultError(f"The variable {name} is not set in the poller's environment.")
    return value


def _token(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise VaultError(f"The vault's token file {path} can be read by everybody. Run: chmod 600 {path}")
        token = path.read_text().strip()
    except OSError as error:
        raise VaultError(f"The vault's token file {path} cannot be read: {error.strerror}.") from None
    if not re.fullmatch(r"[\x21-\x7e]{1,4096}", token):
        raise VaultError(f"The vault's token file {path} holds no token.")
    return token


def _bounded(answer: requests.Response) -> bytes:
    """The whole answer, if it is of reasonable size and comes within reasonable time: the library bounds neither."""
    body, end = bytearray(), time.monotonic() + 10
    for block in answer.iter_content(16 << 10):
        body += block
        if len(body) > MOST or time.monotonic() > end:
            raise VaultError("The vault's answer is too long.")
    return bytes(body)
