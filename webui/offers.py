"""What a discovery found, as rows for people: what it probably is, which checks are worth making, and what it stands behind."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from domain.inventory import Credential, Host
from domain.requests import Discovery, Found
from probes import catalogue
from webui import store
from webui.addresses import HOST, ODD
from webui.language import gettext
from webui.sweeps import LIVES
from webui.wording import value
from webui.written import Look

KNOWN = {
    22: "SSH", 25: "SMTP", 53: "DNS", 80: "HTTP", 443: "HTTPS", 445: "SMB", 3306: "MySQL", 3389: "RDP", 5432: "PostgreSQL",
    5985: "WinRM", 5986: "WinRM (TLS)", 6379: "Redis", 8006: "Proxmox VE", 8080: "HTTP 8080", 8443: "HTTPS 8443",
    9100: "JetDirect",
}  # fmt: skip
WEB: dict[int, dict[str, Any]] = {80: {}, 8080: {"port": 8080}, 443: {"tls": True}, 8443: {"tls": True, "port": 8443}}
LONGEST = 100


@dataclass(frozen=True)
class Offer:
    """A check worth making, under a key that is unique in its row."""

    key: str
    look: Look

    @property
    def label(self) -> str:
        """What it is called on the page."""
        if self.look.kind == "http":
            return self.look.name
        port = self.look.options.get("port")
        return gettext(self.look.probe.label) + (f" {port}" if port else "")


@dataclass(frozen=True)
class Row:
    """One machine that answered. `watched` is the machine it already is, `behind` what stands on the way to it."""

    address: str
    name: str
    answers: tuple[tuple[str, str], ...]
    said: tuple[tuple[str, str], ...]
    offers: tuple[Offer, ...]
    watched: str
    behind: str
    snmp: int | None


@dataclass(frozen=True)
class Logins:
    """The credentials to put into suggested checks, by name; "" for none."""

    ssh: str = ""
    winrm: str = ""


def rows(discovery: Discovery, logins: Logins) -> list[Row]:
    """A row for each machine found, in the order of the addresses asked."""
    database = store.session()
    found = list(database.scalars(select(Found).where(Found.discovery_id == discovery.id).order_by(Found.place)))
    watched = {host.address: host.name for host in database.scalars(select(Host))}
    credentials = {row.id: row.name for row in database.scalars(select(Credential))}
    named = {one.address: _name(one.address, one.seen) for one in found}
    behind = {one.address: _behind(one.seen.get("path") or (), watched, named) for one in found}
    return [_row(one, logins, watched, credentials, named, behind[one.address]) for one in found]


def _row(
    one: Found, logins: Logins, watched: Mapping[str, str], credentials: Mapping[int, str], named: Mapping[str, str],
    behind: str,
) -> Row:  # fmt: skip
    seen, snmp = one.seen, one.seen.get("snmp") or {}
    rtt, ports = seen.get("rtt"), [port for port in seen.get("ports", ()) if isinstance(port, int)]
    answers = [("Ping", value(float(rtt), "s"))] if rtt is not None else []
    answers += [(KNOWN.get(port, str(port)), "") for port in ports]
    answers += [("SNMP", credentials.get(snmp.get("credential", 0), ""))] if snmp else []
    return Row(
        one.address,
        named[one.address],
        tuple(answers),
        tuple(_said(seen)),
        tuple(_offers(rtt is not None, ports, snmp, logins, credentials)),
        watched.get(one.address) or str(seen.get("watched") or ""),
        behind,
        snmp.get("credential"),
    )


def _said(seen: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What it says of itself, as (who says it, words)."""
    snmp, https, http = (seen.get(key) or {} for key in ("snmp", "https", "http"))
    told = [
        ("SNMP", " ".join(str(snmp.get("description") or "").split())[:160]),
        ("SSH", str(seen.get("ssh") or "")),
        (gettext("Title"), str(https.get("title") or http.get("title") or "")),
        (gettext("Web server"), str(https.get("server") or http.get("server") or "")),
        (gettext("Certificate for"), ", ".join(str(name) for name in https.get("names", ())[:4])),
    ]
    return [(who, words) for who, words in told if words]


def _offers(
    pinged: bool, ports: list[int], snmp: Mapping[str, Any], logins: Logins, credentials: Mapping[int, str]
) -> Iterable[Offer]:
    if pinged or not (ports or snmp):
        yield _offer("ping", kind="icmp", name="ping")
    if snmp and snmp.get("credential") in credentials and "snmp" in catalogue():
        yield _offer("snmp", kind="snmp", name="SNMP", credential=credentials[snmp["credential"]])
    for port in ports:
        if port == 22 and logins.ssh:
            yield _offer("p22", kind="ssh", name="SSH", credential=logins.ssh)
        elif port in (5985, 5986) and logins.winrm and "winrm" in catalogue():
            if port == 5985 and 5986 in ports:
                continue
            options = {"port": port} if port == 5986 else {}
            yield _offer(f"p{port}", kind="winrm", name="WinRM", credential=logins.winrm, options=options)
        elif port in WEB:
            yield _offer(f"p{port}", kind="http", name=KNOWN[port], options={**WEB[port], **LIVES})
        else:
            yield _offer(f"p{port}", kind="tcp", name=f"port {port}", options={"port": port})


def _offer(key: str, **words: Any) -> Offer:
    return Offer(key, Look.model_validate(words))


def _name(address: str, seen: Mapping[str, Any]) -> str:
    """What to call it: the name given, what its agent or the resolver says, its certificate's first name, its address."""
    https, snmp = seen.get("https") or {}, seen.get("snmp") or {}
    certified = [str(name) for name in https.get("names", ()) if "*" not in str(name) and not _is_address(str(name))]
    for candidate in (seen.get("name"), snmp.get("name"), *certified[:1]):
        text = ODD.sub("", str(candidate or "")).strip()[:LONGEST].strip()
        if text and (candidate == seen.get("name") or HOST.fullmatch(text)):
            return text
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _behind(path: Iterable[Any], watched: Mapping[str, str], named: Mapping[str, str]) -> str:
    """The address of the last thing on the way that is watched, or was found too; "" where there is none."""
    return next((str(hop) for hop in reversed(list(path)) if str(hop) in watched or str(hop) in named), "")
