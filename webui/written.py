"""The words of a configuration document: its parts, what each may say, and how it is said back.

An entry is the whole truth about its subject: what it leaves out has its default. Only the `checks` of a machine,
whose removal loses history, are left alone when left out.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from domain import calendar
from domain.calendar import Rule
from domain.inventory import CREDENTIALS, fetched_wrong
from domain.options import describe, fill
from domain.thresholds import Level
from probes import catalogue
from probes.base import Probe
from webui.addresses import HOST, ODD

LONGEST_NAME, LONGEST_NOTE = 100, 2000
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def seconds(value: Any) -> float:
    """A length of time: a number of seconds, or "90s", "5m", "1h30m", "1d". Raises ValueError with a sentence."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        text = value.strip().lower()
        parts = _SPAN.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return sum(float(number) * UNITS[unit] for number, unit in parts)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
    raise ValueError(f'takes a length of time such as 30, "90s", "5m" or "1h", not {value!r}')


def spoken(length: float) -> str | int | float:
    """The length as `seconds` reads it back, in the largest unit that leaves no rest."""
    for unit in ("d", "h", "m"):
        if length >= UNITS[unit] and length % UNITS[unit] == 0:
            return f"{length / UNITS[unit]:.0f}{unit}"
    return int(length) if length == int(length) else length


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"takes text; put {value!r} in quotes" if value is not None else "takes text and is empty")
    if any(ord(c) < 32 and c not in "\n\t" for c in value) or ODD.sub("", value) != re.sub(r"[\n\t]", "", value):
        raise ValueError("holds characters that cannot be seen")
    return value


def _name(value: Any) -> Any:
    text = str(_text(value))
    if not text.strip() or text != text.strip() or "\n" in text or "\t" in text:
        raise ValueError("is empty, or has spaces around it or line ends in it")
    if len(text) > LONGEST_NAME:
        raise ValueError(f"is longer than {LONGEST_NAME} characters")
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"takes a whole number, not {value!r}")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"takes a number, not {value!r}")
    return float(value)


def _yes(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError(f"takes true or false, not {value!r}")
    return value


_LENGTH = WithJsonSchema(
    {
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^(\d+(\.\d+)?[smhd])+$"}],
        "description": "A number of seconds, or text such as 90s, 5m, 1h30m.",
    }
)
Name = Annotated[
    str,
    BeforeValidator(_name),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": r"^\S([^\n\t]*\S)?$"}),
]
Yes = Annotated[bool, BeforeValidator(_yes)]
Number = Annotated[float, BeforeValidator(_number)]
Few = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=20)]
Span = Annotated[float, BeforeValidator(seconds), PlainSerializer(spoken), _LENGTH]
Pace = Annotated[Span, Field(ge=1, le=86400), _LENGTH]


class Part(BaseModel):
    """Anything a document is made of: an unknown key is an error, never a silent nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bare(Part):
    """What may also be written as a bare name."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler(schema)
        return whole if handler.mode == "serialization" else {"anyOf": [whole, {"type": "string"}]}


class Limit(Part):
    """A threshold. `over` or `under`, in the measure's own unit; `part` is a mount point, a core, an interface."""

    measure: Name
    part: str = ""
    state: Literal["warning", "critical"]
    over: Number | None = None
    under: Number | None = None
    clear: Number | None = None
    for_: Annotated[Span, Field(ge=0, le=86400 * 30), _LENGTH] = Field(default=300, alias="for")
    clear_for: Annotated[Span, Field(ge=0, le=86400 * 30), _LENGTH] = 0

    @field_validator("measure", mode="before")
    @classmethod
    def _measure(cls, value: Any) -> Any:
        known = {measure.name for probe in catalogue().values() for measure in probe.produces}
        if not isinstance(value, str) or value not in known:
            near = difflib.get_close_matches(str(value), sorted(known), 3, 0.5)
            hint = f"; did you mean {' or '.join(near)}" if near else ""
            raise ValueError(f"is no measure that any check brings: {value!r}{hint}")
        return value

    @model_validator(mode="after")
    def _holds(self) -> Limit:
        Level(self.state, self.over, self.under, self.clear, self.for_, self.clear_for)
        return self

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same threshold when its numbers are edited."""
        return (self.measure, self.part, self.state)


class Source(Part):
    """Where a secret comes from: `kept` (stays what it is), `prompt` (asked for), `env` or `file` with `place`.

    `fetch` stores nothing: the poller gets it at each use from `place` (inventory.FETCHED).
    """

    how: Literal["kept", "prompt", "env", "file", "fetch"]
    place: str = ""

    @property
    def stored(self) -> str:
        """As `credential.source` remembers it."""
        return f"{self.how}:{self.place}" if self.place else "typed"


def _source(value: Any) -> Any:
    if isinstance(value, Source):
        return value
    if value in ("kept", "prompt"):
        return Source(how=value)
    if isinstance(value, dict) and len(value) == 1:
        how, place = next(iter(value.items()))
        if how in ("env", "file") and isinstance(place, str) and place.strip() and "\0" not in place:
            return Source(how=how, place=place.strip())
        if how == "fetch" and isinstance(place, str):
            if wrong := fetched_wrong(place):
                raise ValueError(f"cannot be fetched: {wrong.rstrip('.')}")
            return Source(how="fetch", place=place)
    raise ValueError(
        "is one of: {env: NAME}, {file: PATH}, {fetch: PLACE}, prompt, kept (the secret itself is never written here)"
    )


def _say_source(source: Source) -> Any:
    return {source.how: source.place} if source.place else source.how


def _place(key: str) -> dict[str, Any]:
    return {"type": "object", "properties": {key: {"type": "string"}}, "required": [key], "additionalProperties": False}


SecretSource = Annotated[
    Source,
    BeforeValidator(_source),
    PlainSerializer(_say_source),
    WithJsonSchema({"anyOf": [{"enum": ["kept", "prompt"]}, _place("env"), _place("file")]}),
]


class Login(Part):
    """A credential. The secret itself is never in the document, only where to read it."""

    name: Name
    kind: Literal["password", "ssh_key", "community", "snmp_v3"]
    username: str = ""
    secret: SecretSource
    passphrase: SecretSource | None = None

    @field_validator("username", mode="before")
    @classmethod
    def _username(cls, value: Any) -> Any:
        return _name(value) if value != "" else ""

    @model_validator(mode="after")
    def _only_keys_are_locked(self) -> Login:
        if self.passphrase is not None and "passphrase" not in CREDENTIALS[self.kind]:
            raise ValueError("'passphrase' belongs to an ssh_key or an snmp_v3 user only")
        if self.kind == "community" and self.username:
            raise ValueError("a community has no username")
        if self.passphrase is not None and self.passphrase.how == "kept":
            raise ValueError("'passphrase' cannot be 'kept'; leave it out, it is kept with its key")
        return self


class Group(Bare):
    """A named set of machines, with the thresholds they share. May be written as the bare name."""

    name: Name
    thresholds: tuple[Limit, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Section(Group):
    """A division, with the thresholds its machines share. May be written as the bare name."""


class Place(Bare):
    """A site: a place where machines stand. May be written as the bare name."""

    name: Name
    address: str = ""
    latitude: Annotated[Number, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[Number, Field(ge=-180, le=180)] | None = None
    zone: Name | None = None
    note: str = ""

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("address", "note", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        if len(str(_text(value))) > LONGEST_NOTE:
            raise ValueError(f"is longer than {LONGEST_NOTE} characters")
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError(f"is no time zone: {value!r}; one is 'Asia/Jakarta'")
        return value

    @model_validator(mode="after")
    def _both(self) -> Place:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("needs 'latitude' and 'longitude', or neither")
        return self


class Look(Bare):
    """A check: one way the machine is looked at. `options` are the probe's own."""

    kind: str
    name: Name = ""
    options: dict[str, Any] = {}
    credential: Name | None = None
    interval: Pace | None = None
    deadline: Annotated[Span, Field(ge=0.1, le=300), _LENGTH] = 10
    reachability: Yes | None = None
    enabled: Yes = True

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        value = {"kind": value} if isinstance(value, str) else value
        if isinstance(value, dict) and not value.get("name"):
            value = {**value, "name": value.get("kind")}
        return value

    @field_validator("kind", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        if not isinstance(value, str) or value not in catalogue():
            raise ValueError(f"is one of {', '.join(sorted(catalogue()))}, not {value!r}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Look:
        if self.credential is not None and not self.probe.secret:
            raise ValueError(f"a {self.kind} check takes no credential")
        known = [option.name for option in describe(self.probe.options) if not option.hidden]
        for name in self.options:
            if name not in known:
                raise ValueError(f"option '{name}' is not known; known are: {', '.join(known) or 'none'}")
        fill(self.probe.options, self.options)
        return self

    @property
    def probe(self) -> Probe:
        """The probe this check is of."""
        return catalogue()[self.kind]

    @property
    def feeds(self) -> bool:
        """Whether its failures feed up and down."""
        return self.probe.reachability if self.reachability is None else self.reachability


def _off(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class Machine(Part):
    """A host. `checks` None: left as they are, or one ping where the machine is new.

    `normal` is how far from its own normal is a warning; `runbook` what to do when it is in trouble.
    """

    name: Name
    address: str
    note: str = ""
    groups: tuple[Name, ...] = ()
    parents: tuple[Name, ...] = ()
    adopts_guests: Yes = False
    normal: Annotated[Literal["off", "wide", "usual", "narrow"], BeforeValidator(_off)] = "usual"
    division: Name | None = None
    site: Name | None = None
    runbook: str = ""
    interval: Pace | None = None
    attempts: Few | None = None
    recover_after: Few | None = None
    enabled: Yes = True
    checks: tuple[Look, ...] | None = None
    thresholds: tuple[Limit, ...] = ()

    @field_validator("address", mode="before")
    @classmethod
    def _address(cls, value: Any) -> Any:
        text = str(_name(value))
        try:
            ipaddress.ip_address(text)
        except ValueError:
            if re.fullmatch(r"[\d.]+", text) or not HOST.fullmatch(text):
                raise ValueError(f"is neither an IP address nor a host name: {value!r}") from None
        return text

    @field_validator("note", "runbook", mode="before")
    @classmethod
    def _note(cls, value: Any) -> Any:
        if len(str(_text(value))) > LONGEST_NOTE:
            raise ValueError(f"is longer than {LONGEST_NOTE} characters")
        return value


class Defaults(Part):
    """What holds for every machine unless its division, a group or the machine itself says otherwise."""

    thresholds: tuple[Limit, ...] = ()


def _time(seconds: float) -> timedelta:
    """Some seconds; more than any window has are as many as the calendar refuses with its own sentence."""
    return timedelta(seconds=min(seconds, 2 * calendar.LONGEST_ONCE.total_seconds()))


class Repeated(Part):
    """Maintenance that comes again, weekly or by cron; flexible with `lasts`. Known by its name and what it is for."""

    name: Name
    host: Name | None = None
    group: Name | None = None
    division: Name | None = None
    site: Name | None = None
    everything: Yes = False
    weekdays: tuple[str, ...] = ()
    at: str = ""
    expression: str = ""
    duration: Span
    lasts: Span | None = None
    zone: Name

    @model_validator(mode="after")
    def _holds(self) -> Repeated:
        if sum(one is not None for one in (self.host, self.group, self.division, self.site)) + self.everything != 1:
            raise ValueError("is for exactly one host, group, division or site, or for everything")
        if bool(self.weekdays or self.at) == bool(self.expression):
            raise ValueError("takes either weekdays and at, or an expression")
        self.rule()
        return self

    def rule(self) -> Rule:
        """When it is on. Raises ValueError with a sentence."""
        lasts = None if self.lasts is None else _time(self.lasts)
        duration = _time(self.duration)
        if self.expression:
            return calendar.cron(self.expression, duration, zone=self.zone, lasts=lasts)
        return calendar.weekly(self.weekdays, self.at, duration, zone=self.zone, lasts=lasts)

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same window when its times are edited: its name, and what it is for."""
        named = [(kind, getattr(self, kind)) for kind in ("host", "group", "division", "site") if getattr(self, kind)]
        kind, target = named[0] if named else ("everything", "")
        return self.name, kind, target


class Document(Part):
    """A whole document. A section that is left out is left alone, also by pruning."""

    version: Literal[1]
    defaults: Defaults | None = None
    groups: tuple[Group, ...] | None = None
    divisions: tuple[Section, ...] | None = None
    sites: tuple[Place, ...] | None = None
    credentials: tuple[Login, ...] | None = None
    hosts: tuple[Machine, ...] | None = None
    maintenance: tuple[Repeated, ...] | None = None
    remove: tuple[Name, ...] = ()
