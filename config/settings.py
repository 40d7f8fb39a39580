"""One frozen Settings, read once at the door from the environment and an optional TOML file."""

from __future__ import annotations

import os
import sys
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.tls import Pair, own

PREFIX = "PANTAU_"
FILE = "PANTAU_CONFIG"


class SettingsError(Exception):
    """A setting is wrong; the message is one sentence with the way out."""


def default_data() -> Path:
    """Where Pantau keeps its own things: the system's place for root, the user's own otherwise."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/pantau")
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "Pantau"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "pantau"


def place_of(text: str) -> tuple[str, int]:
    """ "address:port" (IPv6 in brackets) as a pair. Raises ValueError."""
    host, _, port = text.rpartition(":")
    try:
        found = str(ip_address(host.strip("[]"))), int(port)
    except ValueError:
        raise ValueError("should look like 0.0.0.0:162") from None
    if not 1 <= found[1] <= 65535 or (":" in host) != host.startswith("["):
        raise ValueError("should look like 0.0.0.0:162")
    return found


def networks_of(text: str | None) -> list[IPv4Network | IPv6Network]:
    """Addresses and networks, comma between. Raises ValueError."""
    return [ip_network(one.strip()) for one in (text or "").split(",") if one.strip()]


class Settings(BaseSettings):
    """Everything an installation may decide before the database is open.

    Read from `PANTAU_<NAME>` in the environment, `DATABASE_URL`, and the TOML file named by `PANTAU_CONFIG`;
    the environment wins. An unknown key in the file, or an unknown `PANTAU_` variable, is an error.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True
    )

    data: Path = Field(default_factory=default_data, description="directory for the database, keys and spool")
    host: str = Field(default="127.0.0.1", description="address the web server listens on")
    port: int = Field(default=8080, ge=1, le=65535, description="port the web server listens on")
    tls: str = Field(
        default="off",
        description="HTTPS: off, own (a certificate this installation makes for itself), or files (those named below)",
    )
    certificate: Path | None = Field(default=None, description="PEM certificate with its chain, for tls = files")
    certificate_key: Path | None = Field(default=None, description="PEM key of that certificate")
    proxies: str | None = Field(
        default=None,
        description="addresses or networks, comma between, of proxies in front whose X-Forwarded-For, -Proto and -Host are"
        " believed; unset: nobody's",
    )
    database_url: str | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="external PostgreSQL >= 15; unset: embedded",
    )
    pg_bin: Path | None = Field(default=None, description="directory with initdb and postgres to use")
    pg_user: str | None = Field(default=None, description="user PostgreSQL runs as when Pantau is started by root")
    site: int = Field(default=1, ge=1, le=32767, description="number of this site's poller")
    interval: float = Field(
        default=60, ge=1, le=86400, description="seconds between looks, unless a host says otherwise"
    )
    attempts: int = Field(default=3, ge=1, le=20, description="failed looks in a row that make a machine down")
    remind: float = Field(
        default=0, ge=0, le=604800, description="seconds between reminders of a problem nobody has in hand; 0: none"
    )
    seats: int = Field(default=64, ge=4, le=512, description="blocking looks (SSH, HTTP) under way at once")
    raw_days: int = Field(default=30, ge=2, le=3650, description="days single samples are kept")
    hourly_days: int = Field(default=366, ge=7, le=36500, description="days hourly rollups are kept")
    audit_days: int | None = Field(
        default=None, ge=30, le=36500, description="days the record of who did what is kept; unset: for ever"
    )
    chat_days: int = Field(default=730, ge=1, le=36500, description="days what was said in the chat is kept")
    calibration_days: int = Field(
        default=14, ge=1, le=60, description="days a machine's own normal is learnt before it counts as known"
    )
    spool_mib: int = Field(default=256, ge=1, le=102400, description="size of the spool used while PostgreSQL is away")
    language: str = Field(default="en", description="language where neither person nor browser says: en or id")
    url: str | None = Field(
        default=None,
        description="where people's browsers find this installation, for links in messages, such as"
        " https://pantau.example.com; unset: the web server's own address",
    )
    zone: str = Field(
        default="Asia/Jakarta",
        description="time zone pages are shown in, for everybody who chose none of their own (menu → your name)",
    )
    log_level: str = Field(default="info", description="debug, info, warning or error")
    streams: int = Field(default=200, ge=1, le=10000, description="live pages served at once by one process")

    traps: str | None = Field(
        default=None, description="address:port SNMP traps are received at, such as 0.0.0.0:162; unset: not at all"
    )
    references: str | None = Field(
        default=None,
        description="addresses, comma between, pinged when most machines fail at once; unset: the default gateway;"
        " none: never suspect this machine's own line",
    )
    syslog: str | None = Field(
        default=None,
        description="address:port syslog is received at, UDP and TCP, such as 0.0.0.0:514; unset: not at all",
    )
    secret_dirs: str | None = Field(
        default=None,
        description="directories, colon between, whose files credentials may be fetched from at use; unset: none",
    )
    vault_url: str | None = Field(
        default=None,
        description="address of a HashiCorp Vault or OpenBao (KV 2) that credentials may be fetched from, with https://",
    )
    vault_token_file: Path | None = Field(default=None, description="file with the token shown to that vault")
    vault_ca: Path | None = Field(
        default=None, description="file with the authority that signed that vault's certificate; unset: the system's"
    )
    ldap_url: str | None = Field(
        default=None,
        description="directory that knows passwords of people who have none here, such as ldaps://dc.example.com; ldap:// is"
        " taken with StartTLS alone, but for this very machine",
    )
    ldap_name: str | None = Field(
        default=None,
        description="the name somebody has there, such as uid={login},ou=people,dc=example,dc=com or {login}@example.com",
    )
    ldap_ca: Path | None = Field(
        default=None, description="the directory's own certificate authority, PEM; unset: the system's"
    )
    metrics_token: str | None = Field(
        default=None,
        min_length=16,
        repr=False,
        description="what a scraper shows to read /metrics; unset: only administrators",
    )

    @field_validator("language")
    @classmethod
    def _language(cls, value: str) -> str:
        return _one_of(value, "en", "id")

    @field_validator("tls")
    @classmethod
    def _tls(cls, value: str) -> str:
        return _one_of(value, "off", "own", "files")

    @field_validator("proxies")
    @classmethod
    def _proxies(cls, value: str | None) -> str | None:
        try:
            networks_of(value)
        except ValueError:
            raise ValueError("should look like 127.0.0.1, 10.0.0.0/24") from None
        return value

    @model_validator(mode="after")
    def _files(self) -> Settings:
        if self.tls == "files" and not (self.certificate and self.certificate_key):
            raise ValueError("tls = files needs certificate and certificate_key.")
        return self

    @field_validator("log_level")
    @classmethod
    def _log_level(cls, value: str) -> str:
        return _one_of(value.lower(), "debug", "info", "warning", "error")

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is not a time zone such as Asia/Jakarta") from None
        return value

    @field_validator("traps", "syslog")
    @classmethod
    def _listening(cls, value: str | None) -> str | None:
        if value:
            place_of(value)
        return value

    @field_validator("vault_url")
    @classmethod
    def _vault_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://x")
        lone = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
        if (
            (parts.scheme != "https" and not lone)
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise ValueError("should look like https://vault.example.com:8200; without TLS only on this machine")
        return value

    @field_validator("ldap_url")
    @classmethod
    def _ldap_url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "ldaps://x")
        if parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError("should look like ldaps://dc.example.com")
        return value

    @field_validator("ldap_name")
    @classmethod
    def _ldap_name(cls, value: str | None) -> str | None:
        if value and "{login}" not in value:
            raise ValueError("should hold {login}, as uid={login},ou=people,dc=example,dc=com does")
        return value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://x")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("should look like https://pantau.example.com")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str | None) -> str | None:
        try:
            parts = urlsplit(value or "postgresql:")
            scheme = parts.scheme if parts.port != 0 else ""
        except ValueError:
            scheme = ""
        if scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise ValueError("should begin with postgresql://")
        return value or None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line, then the environment, then the file."""
        file = os.environ.get(FILE)
        toml = (TomlConfigSettingsSource(settings_cls, Path(file)),) if file else ()
        return (init_settings, env_settings, *toml)

    @property
    def sockets(self) -> Path:
        """The embedded server's socket directory."""
        return self.data / "run"

    @property
    def vault_key(self) -> Path:
        """The poller's private key file (0600)."""
        return self.data / "vault.key"

    @property
    def vault_public(self) -> Path:
        """The half that only seals; the web may read it."""
        return self.data / "vault.pub"

    @property
    def notifier_key(self) -> Path:
        """The notifier's private key file (0600): it opens what channels need, and no login of a watched machine."""
        return self.data / "notifier.key"

    @property
    def notifier_public(self) -> Path:
        """The half that only seals for the notifier; the web may read it."""
        return self.data / "notifier.pub"

    @property
    def web_key(self) -> Path:
        """The web's own key file (0600): it opens seeds of login codes, and no login of a watched machine."""
        return self.data / "web.key"

    @property
    def emergency(self) -> Path:
        """Whom the notifier tells when the database itself is away; the secrets in it stay sealed."""
        return self.data / "emergency.json"

    @property
    def tls_directory(self) -> Path:
        """Where the certificates lie that this installation makes for itself."""
        return self.data / "tls"

    @property
    def spool(self) -> Path:
        """The poller's spool directory."""
        return self.data / "spool"

    def home(self) -> str:
        """Where links in messages lead; without a slash at its end."""
        return (self.url or self.address()).rstrip("/")

    def address(self) -> str:
        """Where a browser finds this installation."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host  # noqa: S104 - only shown
        scheme = "http" if self.tls == "off" else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def pair(self) -> Pair | None:
        """The certificate the web server shows and its key; None for plain HTTP."""
        if self.tls == "files" and self.certificate and self.certificate_key:
            return Pair(self.certificate, self.certificate_key)
        return own(self.tls_directory) if self.tls == "own" else None


def load(**given: Any) -> Settings:
    """Settings from `given` (the command line; None is "not given"), the environment and the TOML file.

    Raises SettingsError with one sentence.
    """
    known = {FILE} | {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(
                f"The environment sets {name}, which Pantau does not know. Remove it or correct its name."
            )
    file = os.environ.get(FILE)
    if file and not Path(file).is_file():
        raise SettingsError(f"{FILE} names {file}, which is not a readable file. Correct it or unset it.")
    try:
        chosen = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None
    except (ValueError, OSError) as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error}.") from None
    return chosen.model_copy(update={"data": chosen.data.expanduser().absolute()})


def _one_of(value: str, *choices: str) -> str:
    if value not in choices:
        raise ValueError(f"should be one of {', '.join(choices)}")
    return value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if not first["loc"]:  # about several at once; what they are set to is nobody's business
        return f"These settings do not fit together: {first['msg'].removeprefix('Value error, ')}"
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"The setting '{name}' is not known. Known are: {', '.join(Settings.model_fields)}."
    if name.lower() == "database_url":  # it may hold a password, which is never repeated
        return "DATABASE_URL cannot be read; it looks like postgresql://user:password@host:5432/database."
    if name.lower().endswith("token"):  # a secret is never repeated either
        return f"The setting '{name}' is too short: give at least 16 characters that nobody can guess."
    return f"The setting '{name}' {_reason(name, str(first['type']), str(first['msg']))}; it is {first['input']!r}."


def _reason(name: str, kind: str, told: str) -> str:
    bounds = {type(m).__name__: getattr(m, type(m).__name__.lower()) for m in Settings.model_fields[name].metadata}
    if {"Ge", "Le"} <= set(bounds):
        return f"is a number from {bounds['Ge']} to {bounds['Le']}"
    if kind in ("path_type", "string_type"):
        return "takes text"
    return told.removeprefix("Value error, ").removeprefix("Input ")
