"""Reads the FILE of `pantau replay`: a header and one input a line, as JSON; refuses the rest with a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args
from zoneinfo import ZoneInfo

from domain import baseline
from domain.baseline import SLOTS, Band
from domain.health import OUTCOMES, Outcome, Policy, combine
from domain.reach import Topology
from domain.stored import is_number
from domain.thresholds import Level
from domain.uplink import Suspicion

What = Literal["result", "metric", "tick", "maintenance", "ack", "disable", "enable", "kill"]

WHATS: tuple[str, ...] = get_args(What)
ROWS = ("low", "high", "under", "over")
UTC = ZoneInfo("UTC")
_SHORT_OF_LINE = 80


class ReplayError(ValueError):
    """A line of FILE is not understood. `line` counts from 1; `sentence` says what is wrong with it."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(f"line {line}: {sentence}")
        self.line = line
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the header: the host it belongs to, its levels, and its own normal on the clock of `zone`, if any."""

    host: str
    levels: tuple[Level, ...]
    normal: Band | None = None
    zone: ZoneInfo = UTC

    def at(self, t: float) -> tuple[Level, ...]:
        """The levels in force at `t`, taken as seconds since 1970 for the hour of the week (R19)."""
        if self.normal is None:
            return self.levels
        try:
            place = baseline.place(datetime.fromtimestamp(t, self.zone), self.zone)
        except (ValueError, OverflowError, OSError):  # no calendar reaches so far
            place = t / 3600 % SLOTS
        return (*self.levels, *baseline.levels(self.normal.at(place)))


@dataclass(frozen=True, slots=True)
class Header:
    """The first line. `hosts` maps each host to its parents; without any, every subject met is a host.

    Our own uplink is judged only where the header says how (`suspicion`, R27); its references are no hosts.
    """

    hosts: Mapping[str, tuple[str, ...]]
    policy: Policy
    metrics: Mapping[str, Metric]
    topology: Topology
    suspicion: Suspicion | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """The targets whose results tell of our own uplink."""
        return () if self.suspicion is None else self.suspicion.references


@dataclass(frozen=True, slots=True)
class Input:
    """One input. `value` is an Outcome for `result`, a float for `metric`, a word for `maintenance`, else None."""

    line: int
    t: float
    subject: str
    what: What
    value: Any = None
    start: float | None = None
    rid: str | None = None


def read(lines: Iterable[str]) -> tuple[Header, Iterator[Input]]:
    """The header, and the inputs in their order as they are asked for. Blank lines are passed over.

    Raises ReplayError, for an input when it is asked for.
    """
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    number, line = next(numbered, (1, ""))
    if not line:
        raise ReplayError(1, "the file is empty; its first line is the header, {} at the least.")
    try:
        header = _header(_parse(line))
    except _Wrong as wrong:
        raise ReplayError(number, str(wrong)) from None
    return header, _inputs(numbered, header)


def _inputs(numbered: Iterator[tuple[int, str]], header: Header) -> Iterator[Input]:
    for number, line in numbered:
        try:
            yield _input(number, _parse(line), header)
        except _Wrong as wrong:
            raise ReplayError(number, str(wrong)) from None


class _Wrong(Exception):
    """What is wrong with the line being read, as a sentence."""


def _parse(line: str) -> Any:
    try:
        return json.loads(line, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        text = line.strip()
        shown = text if len(text) <= _SHORT_OF_LINE else f"{text[:_SHORT_OF_LINE]}..."
        raise _Wrong(f"this is not JSON: {shown!r}.") from None


def _not_a_number(name: str) -> float:
    raise _Wrong(f"{name} is not a number here; leave the sample out instead.")


def _header(raw: object) -> Header:
    if not isinstance(raw, dict):
        raise _Wrong("the first line is the header, an object with any of 'hosts', 'params', 'metrics' and 'uplink'.")
    _known(raw, "the header", ("hosts", "params", "metrics", "uplink"))
    hosts = {name: _parents(name, parents) for name, parents in _object(raw, "hosts").items()}
    for name, parents in hosts.items():
        for parent in parents:
            if parent not in hosts:
                raise _Wrong(f"the parent {parent!r} of {name!r} is not among the hosts.")
    metrics = {name: _metric(name, value, hosts) for name, value in _object(raw, "metrics").items()}
    for name in ("poller", *metrics):
        if name in hosts:
            raise _Wrong(f"a host cannot be named {name!r}, which stands for something else here.")
    if "poller" in metrics:
        raise _Wrong("a metric cannot be named 'poller', which stands for something else here.")
    suspicion = _suspicion(_object(raw, "uplink")) if "uplink" in raw else None
    for name in () if suspicion is None else suspicion.references:
        if name in hosts or name in metrics or name == "poller":
            raise _Wrong(f"the reference {name!r} stands for something else here.")
    try:
        topology = Topology(hosts)
    except ValueError as error:
        raise _Wrong(f"of the hosts, {error}") from None
    return Header(hosts, _policy(_object(raw, "params")), metrics, topology, suspicion)


def _suspicion(raw: dict[str, Any]) -> Suspicion:
    _known(raw, "'uplink'", ("references", "share", "least"))
    usual, references = Suspicion(), raw.get("references", [])
    if not isinstance(references, list) or not all(isinstance(name, str) and name for name in references):
        raise _Wrong("the 'references' of 'uplink' are a list of names, [] for none.")
    try:
        return Suspicion(
            tuple(dict.fromkeys(references)),
            _number(raw.get("share", usual.share), "'share'"),
            _whole(raw.get("least", usual.least), "'least'"),
        )
    except ValueError as error:
        raise _Wrong(str(error)) from None


def _parents(name: str, raw: object) -> tuple[str, ...]:
    """Distinct parents, counted once (R10)."""
    if not isinstance(raw, list) or not all(isinstance(parent, str) for parent in raw):
        raise _Wrong(f"the parents of {name!r} are a list of host names, [] for none.")
    if name in raw:
        raise _Wrong(f"{name!r} cannot be its own parent.")
    return tuple(dict.fromkeys(raw))


def _policy(raw: dict[str, Any]) -> Policy:
    _known(raw, "'params'", ("interval", "attempts", "recover_after", "remind"))
    usual = Policy()
    try:
        return Policy(
            interval=_number(raw.get("interval", usual.interval), "'interval'"),
            attempts=_whole(raw.get("attempts", usual.attempts), "'attempts'"),
            recover_after=_whole(raw.get("recover_after", usual.recover_after), "'recover_after'"),
            remind=_number(raw.get("remind", usual.remind), "'remind'"),
        )
    except ValueError as error:
        raise _Wrong(str(error)) from None


def _metric(name: str, raw: object, hosts: Mapping[str, tuple[str, ...]]) -> Metric:
    if not isinstance(raw, dict) or not isinstance(raw.get("host"), str):
        raise _Wrong(f"the metric {name!r} is an object that names its 'host'.")
    _known(raw, f"the metric {name!r}", ("host", "levels", "normal"))
    host = raw["host"]
    if hosts and host not in hosts:
        raise _Wrong(f"the host {host!r} of the metric {name!r} is not among the hosts.")
    levels = raw.get("levels", [])
    if not isinstance(levels, list):
        raise _Wrong(f"the 'levels' of the metric {name!r} are a list.")
    read = tuple(_level(name, level) for level in levels)
    if len({level.key for level in read}) < len(read):
        raise _Wrong(f"the metric {name!r} has two levels of the same state and direction.")
    return Metric(host, read, *_normal(name, raw.get("normal")))


def _normal(name: str, raw: object) -> tuple[Band | None, ZoneInfo]:
    """A band as `baseline.Band`, each row a number for all hours or a list of 168 (null where there is no saying)."""
    if raw is None:
        return None, UTC
    if not isinstance(raw, dict):
        raise _Wrong(f"the 'normal' of the metric {name!r} is an object.")
    _known(raw, f"the normal of the metric {name!r}", ("zone", *ROWS, "top"))
    low, high, under, over = (_row(name, key, raw.get(key)) for key in ROWS)
    top = None if raw.get("top") is None else _number(raw["top"], "'top'")
    for hour in zip(under, low, high, over, strict=True):
        known = [edge for edge in hour if edge is not None]
        if len(known) == len(hour) and known != sorted(known):
            raise _Wrong(f"the normal of the metric {name!r} is not in order: under, low, high, over.")
    try:
        zone = ZoneInfo(raw.get("zone", "UTC"))
    except (KeyError, ValueError, OSError, TypeError):
        raise _Wrong(f"the 'zone' of the metric {name!r} is no time zone: {raw.get('zone')!r}.") from None
    return Band("ready", 0, low, high, under, over, top), zone


def _row(name: str, key: str, raw: object) -> tuple[float | None, ...]:
    if is_number(raw):
        return (_number(raw, f"'{key}'"),) * SLOTS
    if not isinstance(raw, list) or len(raw) != SLOTS:
        raise _Wrong(f"{key!r} in the normal of the metric {name!r} is a number, or a list of {SLOTS}.")
    return tuple(None if value is None else _number(value, f"'{key}'") for value in raw)


def _level(name: str, raw: object) -> Level:
    if not isinstance(raw, dict):
        raise _Wrong(f"a level of the metric {name!r} is an object.")
    _known(raw, f"a level of the metric {name!r}", ("state", "over", "under", "clear", "for", "clear_for"))
    limits = {
        key: None if raw.get(key) is None else _number(raw[key], f"'{key}'") for key in ("over", "under", "clear")
    }
    held, clear_for = (_number(raw.get(key, 0), f"'{key}'") for key in ("for", "clear_for"))
    try:
        return Level(cast(Any, raw.get("state")), limits["over"], limits["under"], limits["clear"], held, clear_for)
    except (ValueError, TypeError) as error:
        raise _Wrong(f"of the metric {name!r}: {error}") from None


def _input(line: int, raw: object, header: Header) -> Input:
    if not isinstance(raw, list) or len(raw) not in (4, 5):
        raise _Wrong("an input is [t, subject, what, value] or [t, subject, what, value, options].")
    t, subject, what, value = raw[:4]
    if not isinstance(subject, str) or not subject:
        raise _Wrong(f"the subject is the name of a host, a metric or 'poller', not {subject!r}.")
    if what not in WHATS:
        raise _Wrong(f"the third item is one of {', '.join(WHATS)}, not {what!r}.")
    start, rid = _options(raw[4] if len(raw) == 5 else {}, what)
    _suits(header, subject, what)
    return Input(line, _number(t, "t"), subject, what, _value(what, value), start, rid)


def _options(raw: object, what: str) -> tuple[float | None, str | None]:
    if not isinstance(raw, dict):
        raise _Wrong("the options are an object.")
    _known(raw, f"the options of {what}", ("start", "rid") if what == "result" else ())
    start, rid = raw.get("start"), raw.get("rid")
    if rid is not None and (isinstance(rid, bool) or not isinstance(rid, str | int)):
        raise _Wrong(f"'rid' is a text or a whole number, not {rid!r}.")
    return None if start is None else _number(start, "'start'"), None if rid is None else str(rid)


def _suits(header: Header, subject: str, what: str) -> None:
    """That this can happen to this subject."""
    if what == "kill":
        return
    if what == "tick" or subject == "poller":
        if what != "tick" or subject != "poller":
            raise _Wrong(f"the subject of tick is 'poller' and nothing else is, not {subject!r} of {what}.")
    elif subject in header.metrics:
        if what not in ("metric", "maintenance", "ack"):
            raise _Wrong(f"{subject!r} is a metric; {what} belongs to its host, {header.metrics[subject].host!r}.")
    elif subject in header.references:
        if what != "result":
            raise _Wrong(f"{subject!r} is a reference of the uplink; it has results and nothing else.")
    elif what == "metric":
        raise _Wrong(f"{subject!r} is not among the metrics of the header.")
    elif header.hosts and subject not in header.hosts:
        raise _Wrong(f"{subject!r} is not among the hosts of the header.")


def _value(what: str, raw: object) -> Any:
    if what == "result":
        return _outcome(raw)
    if what == "metric":
        return _number(raw, "the value of metric")
    if what == "maintenance":
        if raw not in ("start", "end"):
            raise _Wrong(f"the value of maintenance is 'start' or 'end', not {raw!r}.")
        return raw
    if raw is not None:
        raise _Wrong(f"the value of {what} is null, not {raw!r}.")
    return None


def _outcome(raw: object) -> Outcome:
    """One outcome, from one word or one for each reachability check (R23)."""
    words = list(raw.values()) if isinstance(raw, dict) else [raw]
    if not words or not all(isinstance(word, str) and word in OUTCOMES for word in words):
        raise _Wrong(f"a result is one of {', '.join(OUTCOMES)}, or one of them for each check, not {raw!r}.")
    return combine(cast(list[Outcome], words))


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise _Wrong(f"'{key}' of the header is an object.")
    return value


def _known(raw: dict[str, Any], noun: str, known: tuple[str, ...]) -> None:
    strange = [key for key in raw if key not in known]
    if strange:
        raise _Wrong(f"{noun} has no {strange[0]!r}; known: {', '.join(known) or 'none'}.")


def _number(raw: object, noun: str) -> float:
    if is_number(raw):
        return float(cast(float, raw))
    raise _Wrong(f"{noun} is a finite number, not {raw!r:.80}.")


def _whole(raw: object, noun: str) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise _Wrong(f"{noun} is a whole number, not {raw!r}.")
