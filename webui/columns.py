"""From rows of text to machines: which column is what, in English and Indonesian, and what is wrong with each row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from probes import catalogue
from webui.language import gettext, lazy_gettext
from webui.sheets import Rows
from webui.written import Machine, seconds

COLUMNS = {
    "name": lazy_gettext("Name"),
    "address": lazy_gettext("Address"),
    "groups": lazy_gettext("Groups"),
    "division": lazy_gettext("Division"),
    "site": lazy_gettext("Site"),
    "parents": lazy_gettext("Parents"),
    "checks": lazy_gettext("Checks"),
    "credential": lazy_gettext("Login"),
    "interval": lazy_gettext("Interval"),
    "attempts": lazy_gettext("Attempts"),
    "enabled": lazy_gettext("Watched"),
    "note": lazy_gettext("Note"),
    "runbook": lazy_gettext("What to do"),
}
"""What a column can be."""
SPOKEN = {
    "name": "name hostname host machine server device computer nama mesin perangkat namamesin namahost komputer",
    "address": "address ip ipaddress ipaddr fqdn dns alamat alamatip ipalamat",
    "groups": "group groups tag tags grup kelompok label",
    "division": "division department unit divisi bagian departemen",
    "site": "site location place branch office situs lokasi tempat cabang kantor",
    "parents": "parent parents behind gateway upstream induk dibelakang",
    "checks": "check checks monitor services pemeriksaan periksa layanan",
    "credential": "login credential credentials account kredensial akun",
    "interval": "interval every seconds jeda selang detik",
    "attempts": "attempts tries misses percobaan",
    "enabled": "enabled active watch watched aktif pantau dipantau",
    "note": "note notes description comment comments remark remarks catatan keterangan deskripsi",
    "runbook": "runbook whattodo procedure prosedur tindakan caramengatasi",
}
"""Headings people write, without spaces and signs, in English and Indonesian."""
YES = frozenset(["yes", "y", "true", "on", "1", "ya", "aktif", "x", "v"])
NO = frozenset(["no", "n", "false", "off", "0", "tidak", "nonaktif", "mati"])
KINDS = {"ping": "icmp", "port": "tcp", "https": "http", "web": "http", "win": "winrm", "windows": "winrm", "mariadb": "mysql", "postgresql": "postgres"}  # fmt: skip
"""Other words for kinds of check."""
DEFAULT_PORT = {"https": 443}


@dataclass
class Planned:
    """One row and what comes of it: `what` is new, changed, same, left (watched already) or wrong."""

    number: int
    cells: list[str]
    what: str = "new"
    wrong: list[str] = field(default_factory=list)
    machine: Machine | None = None
    known: str = ""


@dataclass(frozen=True)
class Known:
    """What rows may refer to: `entries` are the machines there are, as entries by name."""

    entries: Mapping[str, Mapping[str, Any]]
    credentials: frozenset[str]

    def by_address(self) -> dict[str, str]:
        """Address -> name."""
        return {str(entry["address"]).lower(): name for name, entry in self.entries.items()}


def guess(rows: Rows) -> tuple[list[str], bool]:
    """What each column is ("" is left out), and whether the first row is headings.

    Without headings the first column is the address and the second the name, or the other way round.
    """
    heads = [_heading(cell) for cell in rows[0]]
    seen: set[str] = set()
    for place, head in enumerate(heads):
        heads[place] = "" if head in seen else head
        seen.add(head)
    if "address" in heads or ("name" in heads and len([head for head in heads if head]) > 1):
        return heads, True
    usual = ["address", "name"] if not _looks_named(rows) else ["name", "address"]
    return (usual + [""] * len(rows[0]))[: len(rows[0])], False


def plan(rows: Rows, columns: Sequence[str], known: Known, *, update: bool, first: int = 1) -> list[Planned]:
    """Every row with its machine, or with what is wrong with it, in sentences. `first` is the first row's own number."""
    planned = [Planned(number, list(cells)) for number, cells in enumerate(rows, first)]
    own = {cells[columns.index("name")].lower(): cells[columns.index("name")] for cells in rows if "name" in columns}
    own |= {name.lower(): name for name in known.entries}
    by_address, taken = known.by_address(), {name.lower(): name for name in known.entries}
    seen: dict[tuple[str, str], int] = {}
    for row in planned:
        values = {column: cell for column, cell in zip(columns, row.cells, strict=False) if column and cell}
        address = values.get("address", "").strip("[]").lower()
        name = values.get("name", "")
        row.known = taken.get(name.lower(), "") or by_address.get(address, "")
        for what, text in (("name", name.lower()), ("address", address)):
            if text and (what, text) in seen:
                row.wrong.append(
                    gettext(
                        "%(what)s “%(word)s” stands in row %(row)s already.",
                        what=COLUMNS[what],
                        word=text[:80],
                        row=seen[what, text],
                    )
                )
            elif text:
                seen[what, text] = row.number
        if row.known and not update and not row.wrong:
            row.what = "left"
            continue
        base = dict(known.entries[row.known]) if row.known else {}
        _fill(row, values, base, known, own)
    return planned


def _fill(row: Planned, values: dict[str, str], base: dict[str, Any], known: Known, own: Mapping[str, str]) -> None:
    entry = dict(base)
    for column, text in values.items():
        try:
            entry |= READ[column](text, values, base, known)
        except ValueError as error:
            row.wrong.append(f"{COLUMNS[column]}: {error}")
    entry.setdefault("address", "")
    entry.setdefault("name", entry["address"])
    if row.known:
        entry["name"] = row.known
    if not entry["address"]:
        row.wrong.append(gettext("It has no address."))
    entry["parents"] = tuple(own.get(parent.lower(), parent) for parent in entry.get("parents", ()))
    for parent in entry["parents"]:
        if parent.lower() not in own:
            row.wrong.append(gettext("There is no machine “%(name)s” to stand behind.", name=parent[:80]))
    if row.wrong:
        row.what = "wrong"
        return
    try:
        row.machine = Machine.model_validate(entry)
    except ValidationError as error:
        row.what = "wrong"
        row.wrong = [_told(one) for one in error.errors()[:4]]
        return
    if row.known:
        row.what = "same" if row.machine == Machine.model_validate(base) else "changed"


def _name(text: str, *_: Any) -> dict[str, Any]:
    return {"name": text}


def _address(text: str, *_: Any) -> dict[str, Any]:
    return {"address": text.strip("[]")}


def _list(key: str) -> Callable[..., dict[str, Any]]:
    def read(text: str, *_: Any) -> dict[str, Any]:
        return {key: tuple(dict.fromkeys(word.strip() for word in re.split(r"[,;|]", text) if word.strip()))}

    return read


def _plain(key: str) -> Callable[..., dict[str, Any]]:
    return lambda text, *_: {key: text}


def _interval(text: str, *_: Any) -> dict[str, Any]:
    try:
        length = seconds(text.replace(",", "."))
    except ValueError:
        raise ValueError(gettext("takes seconds, or a length such as 90s or 5m.")) from None
    if not 1 <= length <= 86400:
        raise ValueError(gettext("lies between a second and a day."))
    return {"interval": length}


def _attempts(text: str, *_: Any) -> dict[str, Any]:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 20):
        raise ValueError(gettext("is a whole number from 1 to 20."))
    return {"attempts": int(text)}


def _enabled(text: str, *_: Any) -> dict[str, Any]:
    word = text.strip().lower()
    if word not in YES | NO:
        raise ValueError(gettext("is yes or no."))
    return {"enabled": word in YES}


def _credential(text: str, _values: Mapping[str, str], _base: Mapping[str, Any], known: Known) -> dict[str, Any]:
    if text not in known.credentials:
        raise ValueError(gettext("there is none of this name; make it first, under Logins."))
    return {}


def _checks(text: str, values: Mapping[str, str], base: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """`ping, ssh, https, http:8080, tcp:3389`: added to those that are there; kinds that log in take the row's login."""
    looks = [dict(look) for look in base.get("checks") or ()]
    names = {str(look["name"]) for look in looks}
    for word in re.split(r"[,;|+\s]+", text):
        if not word:
            continue
        look = _look(word, values.get("credential", "") if values.get("credential") in known.credentials else "")
        if look["name"] not in names:
            names.add(look["name"])
            looks.append(look)
    return {"checks": tuple(looks)}


def _look(word: str, credential: str) -> dict[str, Any]:
    spoken, _, port = word.lower().partition(":")
    kind = KINDS.get(spoken, spoken)
    probe = catalogue().get(kind)
    if probe is None or kind == "local":
        some = ", ".join(sorted({"ping", *catalogue()} - {"icmp", "local"}))
        raise ValueError(gettext("there is no check “%(word)s”; there are: %(known)s.", word=word[:40], known=some))
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(gettext("“%(word)s” names no port from 1 to 65535.", word=word[:40]))
    if kind == "tcp" and not port:
        raise ValueError(gettext("“%(word)s” needs a port, such as tcp:3389.", word=word[:40]))
    options: dict[str, Any] = {"port": int(port)} if port else {}
    if spoken == "https":
        options["tls"] = True
    if kind == "http":
        options |= {"follow": False, "status": "200-499"}
    name = "ping" if kind == "icmp" else f"port {port}" if kind == "tcp" else f"{spoken} {port}".strip()
    look: dict[str, Any] = {"kind": kind, "name": name, "options": options}
    if probe.secret and credential:
        look["credential"] = credential
    return look


READ: dict[str, Callable[..., dict[str, Any]]] = {
    "name": _name, "address": _address, "groups": _list("groups"), "parents": _list("parents"),
    "division": _plain("division"), "site": _plain("site"), "note": _plain("note"), "runbook": _plain("runbook"), "interval": _interval, "attempts": _attempts,
    "enabled": _enabled, "credential": _credential, "checks": _checks,
}  # fmt: skip


def _told(error: Any) -> str:
    """One fault of an entry, as a sentence with its column."""
    place = str(error["loc"][0]) if error["loc"] else ""
    said = str(error.get("ctx", {}).get("error", error["msg"])).rstrip(".")
    title = str(COLUMNS.get(place, place))
    return f"{title}: {said}." if title else f"{said}."


def _heading(cell: str) -> str:
    word = re.sub(r"[\W\d_]+", "", cell.lower())
    return next((column for column, words in SPOKEN.items() if word in words.split()), "") if word else ""


def _looks_named(rows: Rows) -> bool:
    """Whether the second column holds the addresses."""
    digits = re.compile(r"[\d.:\[\]a-fA-F]+")
    second = [row[1] for row in rows[:20] if len(row) > 1 and row[1]]
    first = [row[0] for row in rows[:20] if row[0]]
    return bool(second) and all(map(digits.fullmatch, second)) and not all(map(digits.fullmatch, first))
