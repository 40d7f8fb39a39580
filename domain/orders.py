"""What may be done to a machine, said so narrowly that nothing else can be meant by it.

Pure. An order is a kind and parameters; whatever is not exactly of the form given here is refused before anybody is asked
to agree to it, and once more before it is carried out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["host.restart", "service.restart", "service.start", "service.stop", "vm.restart", "runbook.run"]
KINDS: tuple[str, ...] = get_args(Kind)
INTERRUPTING = frozenset({"host.restart", "vm.restart"})
"""Kinds after which the machine is a new start of itself."""
SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:$-]{0,127}", re.ASCII)
"""A unit of systemd or a Windows service, without the blanks, escapes and quotes that both could have."""
GUEST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. ()\[\]-]{0,127}", re.ASCII)
"""A guest by the name its hypervisor gives it (domain/guests.py): `101 files` on Proxmox."""
WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:=,+-]{0,63}", re.ASCII)
"""A parameter of a runbook that is a word: nothing a shell could read more into."""
PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,30}", re.ASCII)
MOST_PARAMETERS = 12
MOST_CHOICES = 100


class Unclear(ValueError):
    """An order that is not of the form; `code` says how, `about` what it is said of."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(f"{code} {about!r}" if about else code)
        self.code, self.about = code, about


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a runbook is told: one of `choices`, a whole number from `low` to `high`, or a word."""

    name: str
    kind: Literal["choice", "number", "word"]
    title: str = ""
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0

    def checked(self, value: object) -> str:
        """The value as it is handed over. Raises Unclear."""
        text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
        if not WORD.fullmatch(text):
            raise Unclear("value", self.name)
        if self.kind == "choice" and text not in self.choices:
            raise Unclear("choice", self.name)
        if self.kind == "number":
            if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) or not self.low <= int(text) <= self.high:
                raise Unclear("number", self.name)
            return str(int(text))
        return text


def parameters(told: object) -> tuple[Parameter, ...]:
    """The parameters of a runbook as they are kept (a list of mappings). Raises Unclear."""
    if not isinstance(told, list) or len(told) > MOST_PARAMETERS:
        raise Unclear("parameters")
    found = tuple(_parameter(one) for one in told)
    if len({one.name for one in found}) != len(found):
        raise Unclear("parameters")
    return found


def _parameter(one: object) -> Parameter:
    if not isinstance(one, Mapping) or not PARAMETER.fullmatch(str(one.get("name", ""))):
        raise Unclear("parameter")
    name, kind = str(one["name"]), one.get("kind")
    title = str(one.get("title") or "")[:100]
    if kind == "choice":
        choices = one.get("choices")
        if not isinstance(choices, list) or not 1 <= len(choices) <= MOST_CHOICES:
            raise Unclear("choices", name)
        if not all(isinstance(each, str) and WORD.fullmatch(each) for each in choices):
            raise Unclear("choices", name)
        return Parameter(name, "choice", title, tuple(choices))
    if kind == "number":
        low, high = one.get("low", 0), one.get("high", 0)
        if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high < 10**12:
            raise Unclear("range", name)
        return Parameter(name, "number", title, (), low, high)
    if kind == "word":
        return Parameter(name, "word", title)
    raise Unclear("parameter", name)


def checked(kind: object, params: object, runbook: Sequence[Parameter] = ()) -> dict[str, Any]:
    """The parameters of an order as they are kept and carried out. Raises Unclear.

    `service.*`: {"service"}; `vm.restart`: {"hypervisor": id of its machine, "guest"}; `runbook.run`: {"runbook": id,
    "values": {name: text}} where `runbook` are its parameters; `host.restart`: {}.
    """
    if kind not in KINDS:
        raise Unclear("kind", str(kind)[:60])
    given = params if isinstance(params, Mapping) else {}
    if kind == "host.restart":
        return _only(given)
    if kind == "vm.restart":
        hypervisor, guest = given.get("hypervisor"), given.get("guest")
        if not isinstance(hypervisor, int) or isinstance(hypervisor, bool) or not _matches(GUEST, guest):
            raise Unclear("guest")
        return _only(given, hypervisor=hypervisor, guest=guest)
    if kind == "runbook.run":
        number, values = given.get("runbook"), given.get("values", {})
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(values, Mapping):
            raise Unclear("runbook")
        if set(values) != {one.name for one in runbook}:
            raise Unclear("values")
        return _only(given, runbook=number, values={one.name: one.checked(values[one.name]) for one in runbook})
    if not _matches(SERVICE, given.get("service")):
        raise Unclear("service")
    return _only(given, service=given["service"])


def _only(given: Mapping[str, Any], **kept: Any) -> dict[str, Any]:
    if set(given) - set(kept):
        raise Unclear("more")
    return kept


def _matches(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def bound(kind: str, params: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What an agreement is bound to, as SHA-256 in hex: the order and `facts` (JSON) of where it would go.

    When any of it is another at the end than it was at the beginning, nobody has agreed to it.
    """
    told = json.dumps([kind, params, facts], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()
