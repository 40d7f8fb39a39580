"""Stored results of one machine in the form `pantau replay` reads: what happened, to be judged again."""

from __future__ import annotations

import heapq
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from config.settings import Settings
from domain.baseline import NORMALS
from domain.inventory import Check, Host
from domain.reading import FailureKind
from domain.records import OUTCOMES, BandLearnt, FailureSeen, MetricSet, StateInterval, raw
from domain.thresholds import Level, applying
from webui import amounts
from webui.causes import unit_of
from webui.limits import limits

Line = list[Any]
ROUND = 0.5
"""Looks within this share of an interval are of one round."""
GAP = 2.5
"""In a hole longer than so many intervals time passes by itself."""
_LIMIT = re.compile(
    r"(?P<measure>[\w.]+)(\[(?P<part>[^\]]*)\])?\s*(?P<side>[<>])\s*(?P<amount>.+?)"
    r"(\s+for\s+(?P<for>.+?))?(\s+clear\s+(?P<clear>.+?))?(\s+(?P<state>warning|critical))?"
)


def limit(text: str) -> tuple[str, str, Level]:
    """`system.cpu.utilization > 85 % for 10 min clear 80 % critical` as (measure, part, level).

    Raises ValueError with one sentence.
    """
    found = _LIMIT.fullmatch(text.strip())
    form = "such as 'system.cpu.utilization > 85 % for 10 min clear 80 % critical'"
    if found is None:
        raise ValueError(f"a limit is written {form}, not {text!r}.")
    measure, unit = found["measure"], unit_of(found["measure"])
    amount = amounts.read(found["amount"], unit, measure)
    clear = amounts.read(found["clear"], unit, measure) if found["clear"] else None
    held = amounts.read(found["for"], "s") if found["for"] else 300.0
    if amount is None or held is None or (found["clear"] and clear is None):
        raise ValueError(f"an amount of the limit {text!r} cannot be read; write it {form}.")
    over, under = (amount, None) if found["side"] == ">" else (None, amount)
    state: Any = found["state"] or "warning"
    return measure, found["part"] or "", Level(state, over, under, clear, held)


def lines(
    session: Session,
    host: Host,
    begin: datetime,
    end: datetime,
    settings: Settings,
    typed: Sequence[tuple[str, str, Level]],
) -> Iterator[str]:
    """The tape of a machine between two moments: a header, then its results, samples and maintenance in their order.

    A limit in `typed` stands in place of all that hold for its measure and part; without any, those that hold count.
    """
    levels = _levels(session, host, typed)
    checks = {check.id: check for check in host.checks}
    sets = _sets(session, list(checks), begin, end)
    bands: dict[tuple[int, str, str], dict[str, Any]] = _bands(session, host)
    named = _named(host, sets, levels, set(bands))
    pace = float(host.interval_s or settings.interval)
    header = {
        "hosts": {host.name: []},
        "params": {
            "interval": pace, "attempts": host.attempts or settings.attempts, "recover_after": host.recover_after or 1,
        },
        "metrics": {
            name: {
                "host": host.name,
                "levels": [_level(one) for one in own],
                "normal": {**bands[key], "zone": settings.zone} if key in bands else None,
            }
            for key, (name, own) in named.items()
        },
    }  # fmt: skip
    yield json.dumps(header)
    rows = _raw(session, list(checks), begin, end)
    told = heapq.merge(
        _results(host, checks, rows, _failures(session, list(checks)), pace),
        _samples(rows, sets, named),
        _maintenance(session, host, begin, end),
        key=lambda line: (line[0], line[2] != "maintenance", line[2] != "result"),
    )
    yield from (json.dumps(line) for line in _ticking(told, pace))


def _levels(
    session: Session, host: Host, typed: Sequence[tuple[str, str, Level]]
) -> dict[tuple[str, str], list[Level]]:
    found: dict[tuple[str, str], list[Level]] = defaultdict(list)
    for row in limits(host, session):
        state: Any = row.state
        found[row.measure, row.part].append(Level(state, row.over, row.under, row.clear, row.for_s, row.clear_for_s))
    for measure, part, _ in typed:
        found[measure, part] = []
    for measure, part, level in typed:
        found[measure, part].append(level)
    return found


def _bands(session: Session, host: Host) -> dict[tuple[int, str, str], dict[str, Any]]:
    """(check, measure, part) -> what is normal for it as it is known now, for the header."""
    learnt = select(BandLearnt).where(
        BandLearnt.host_id == host.id, BandLearnt.status.in_(("ready", "calibrating")), BandLearnt.measure.in_(NORMALS)
    )
    return {
        (row.check_id, row.measure, row.part): {
            "low": row.low, "high": row.high, "under": row.under, "over": row.over, "top": NORMALS[row.measure].top,
        }
        for row in session.scalars(learnt)
    }  # fmt: skip


def _raw(session: Session, checks: list[int], begin: datetime, end: datetime) -> Sequence[Any]:
    asked = (
        select(raw.c.check_id, raw.c.ts, raw.c.set_id, raw.c.state, raw.c.v)
        .where(raw.c.check_id.in_(checks), raw.c.ts >= begin, raw.c.ts < end)
        .order_by(raw.c.ts, raw.c.check_id)
    )
    return session.execute(asked).all()


def _sets(session: Session, checks: list[int], begin: datetime, end: datetime) -> dict[int, MetricSet]:
    there = select(raw.c.set_id).where(raw.c.check_id.in_(checks), raw.c.ts >= begin, raw.c.ts < end).distinct()
    return {one.id: one for one in session.scalars(select(MetricSet).where(MetricSet.id.in_(there)))}


def _named(
    host: Host,
    sets: dict[int, MetricSet],
    levels: dict[tuple[str, str], list[Level]],
    banded: set[tuple[int, str, str]],
) -> dict[tuple[int, str, str], tuple[str, list[Level]]]:
    """(check, measure, part) -> its name on the tape and its levels, for what has any, or a normal."""
    found: dict[tuple[int, str, str], tuple[str, list[Level]]] = {}
    for one in sets.values():
        pairs = list(zip(one.names, one.parts, strict=True))
        for check in host.checks:
            for name, part in pairs:
                said = [(of, level) for (measure, of), given in levels.items() if measure == name for level in given]
                own = [level for _, level in applying(said, part, (name, "") in pairs, itemgetter(0))]
                if own or (check.id, name, part) in banded:
                    title = f"{check.name}: {name}{f'[{part}]' if part else ''}"
                    found.setdefault((check.id, name, part), (title, own))
    return found


def _level(level: Level) -> dict[str, Any]:
    plain = {
        "state": level.state, "over": level.over, "under": level.under, "clear": level.clear,
        "for": level.for_, "clear_for": level.clear_for,
    }  # fmt: skip
    return {key: value for key, value in plain.items() if value is not None}


def _failures(session: Session, checks: list[int]) -> dict[int, list[tuple[datetime, str]]]:
    found: dict[int, list[tuple[datetime, str]]] = defaultdict(list)
    asked = select(FailureSeen).where(FailureSeen.check_id.in_(checks)).order_by(FailureSeen.since)
    for row in session.scalars(asked):
        found[row.check_id].append((row.since, row.kind))
    return found


def _results(
    host: Host,
    checks: dict[int, Check],
    rows: Iterable[Any],
    failures: dict[int, list[tuple[datetime, str]]],
    pace: float,
) -> Iterator[Line]:
    """One result a round: what each reachability check said of the machine; a refusal is an answer (R4)."""
    value: dict[str, str] = {}
    begun: datetime | None = None
    for check_id, at, _, state, _ in rows:
        check = checks[check_id]
        if not check.reachability:
            continue
        if begun is not None and (check.name in value or (at - begun).total_seconds() > ROUND * pace):
            yield [_t(begun), host.name, "result", value, {"start": _t(begun), "rid": f"{_t(begun)}"}]
            value, begun = {}, None
        kind = next((kind for since, kind in reversed(failures[check_id]) if since <= at), "")
        refused = OUTCOMES[state] == "fail" and kind == FailureKind.REFUSED
        value[check.name] = "ok" if refused else OUTCOMES[state]
        begun = begun or at
    if begun is not None:
        yield [_t(begun), host.name, "result", value, {"start": _t(begun), "rid": f"{_t(begun)}"}]


def _samples(
    rows: Iterable[Any], sets: dict[int, MetricSet], named: dict[tuple[int, str, str], tuple[str, list[Level]]]
) -> Iterator[Line]:
    for check_id, at, set_id, _, values in rows:
        one = sets.get(set_id)
        for name, part, value in zip(one.names, one.parts, values, strict=False) if one else ():
            if value is not None and (check_id, name, part) in named:
                yield [_t(at), named[check_id, name, part][0], "metric", float(value)]


def _maintenance(session: Session, host: Host, begin: datetime, end: datetime) -> list[Line]:
    subject = f"maintenance:{host.id}"
    asked = select(StateInterval).where(StateInterval.subject == subject, StateInterval.state == "maintenance")
    found: list[Line] = []
    for row in session.scalars(asked):
        if row.since < end and (row.until is None or row.until > begin):
            found.append([_t(max(row.since, begin)), host.name, "maintenance", "start"])
            if row.until is not None and row.until < end:
                found.append([_t(row.until), host.name, "maintenance", "end"])
    return sorted(found, key=lambda line: line[0])


def _ticking(told: Iterable[Line], pace: float) -> Iterator[Line]:
    """The same, with time passing where nothing was recorded, so that silence is judged as it was (R9)."""
    last: float | None = None
    for line in told:
        while last is not None and line[0] - last > GAP * pace:
            last += pace
            yield [round(last, 3), "poller", "tick", None]
        last = line[0]
        yield line


def _t(at: datetime) -> float:
    return round(at.timestamp(), 3)


def moment(typed: str, now: datetime, settings: Settings) -> datetime:
    """A moment of the command line: `14d`, `3h` (ago), or ISO 8601, on the installation's clock where it names no zone.

    Raises ValueError with one sentence.
    """
    ago = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([dh])", typed.strip())
    if ago:
        return now - timedelta(**{"days" if ago[2] == "d" else "hours": float(ago[1])})
    try:
        found = datetime.fromisoformat(typed)
    except ValueError:
        raise ValueError(f"{typed!r} is no moment; write 2026-11-21T09:00, or 14d for fourteen days ago.") from None
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(settings.zone))).astimezone(UTC)
