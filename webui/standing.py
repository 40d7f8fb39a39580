"""What is wrong, and since when, for the terminal and for programs: the home page without a browser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import and_, case, or_, select, true
from sqlalchemy.orm import Session

from domain.clock import now
from domain.inventory import Check, Host, Person
from domain.records import Incident, Latest, Track
from domain.routing import MONITOR
from webui import watched
from webui.watched import PROBLEMS

Kind = Literal["database", "poller", "host", "check", "metric"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `machine`, `address`, `check`, `measure`, `part` are empty where they do not apply.

    `owner` is who has it in hand; empty where nobody has. `cause` is the machine that explains why this one is
    unreachable, or `poller` where it is our own line.
    """

    kind: Kind
    state: str
    since: datetime | None
    reason: str
    machine: str = ""
    address: str = ""
    check: str = ""
    measure: str = ""
    part: str = ""
    owner: str = ""
    cause: str = ""

    @property
    def what(self) -> str:
        """The subject as a person would name it."""
        if self.kind == "metric":
            return f"{self.machine}: {self.measure}{f' of {self.part}' if self.part else ''}"
        return f"{self.machine}: {self.check}" if self.check else self.machine or self.kind


@dataclass(frozen=True)
class Standing:
    """How things stand at `at`; `problems` are worst first, oldest first among equals.

    Machines under `maintenance` are named, and what is wrong with them is no problem: it was planned (R11).
    """

    at: datetime
    summary: str
    problems: tuple[Problem, ...]
    machines: int = 0
    counts: dict[str, int] | None = None
    poller_at: datetime | None = None
    last_trouble: datetime | None = None
    maintenance: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As printed by `pantau status --json`; documented in docs/operate.md."""
        return {
            "at": self.at.isoformat(),
            "well": not self.problems,
            "summary": self.summary,
            "machines": self.machines,
            "counts": self.counts or {},
            "poller": {
                "at": _iso(self.poller_at),
                "silent": any(p.kind == "poller" and p.state == "unknown" for p in self.problems),
            },
            "last_trouble": _iso(self.last_trouble),
            "maintenance": list(self.maintenance),
            "problems": [{**asdict(problem), "since": _iso(problem.since)} for problem in self.problems],
        }

    def as_text(self) -> str:
        """One calm sentence when all is well; else the sentence and a line for each problem."""
        if not self.problems:
            ended = f" The last trouble ended {_ago(self.at, self.last_trouble)} ago." if self.last_trouble else ""
            return _clean(self.summary + ended + self._maintained())
        widest = max(len(problem.what) for problem in self.problems)
        lines = [self.summary + self._maintained()]
        causes = {problem.machine or problem.kind for problem in self.problems if not problem.cause}
        behind = Counter(problem.cause for problem in self.problems if problem.cause in causes)
        for problem in self.problems:
            if problem.cause in causes:
                continue  # counted under its cause
            since = f"for {_ago(self.at, problem.since)}" if problem.since else ""
            lines.append(
                f"  {problem.state:<12} {problem.what:<{min(widest, 40)}}  {since:<16} {problem.reason}"
                f"{f' ({problem.owner} is on it)' if problem.owner else ''}".rstrip()
            )
            cut_off = behind[problem.machine or problem.kind] if problem.kind in ("host", "poller") else 0
            if cut_off:
                lines.append(
                    f"  {'':<12} {cut_off} machine{' is' if cut_off == 1 else 's are'} unreachable because of it"
                )
        return "\n".join(_clean(line) for line in lines)

    def _maintained(self) -> str:
        count = len(self.maintenance)
        return f" {count} machine{' is' if count == 1 else 's are'} under maintenance." if count else ""


def read(session: Session, usual: float = watched.USUAL) -> Standing:
    """How things stand now, of every machine; `usual` is the interval of those without one of their own."""
    moment = now()
    found = watched.machines(session, true(), moment, usual)
    counted = watched.counts(found)
    pulse = watched.pulse(session, moment)
    enabled = any(machine.state != "disabled" for machine in found)
    orderly = watched.in_order(found)
    wrong = watched.counts(orderly)
    planned = {machine.id: machine.name for machine in found if machine.maintenance}
    problems = [problem for id, problem in _problems(session) if id not in planned]
    told = {problem.machine for problem in problems if problem.kind == "host"}
    if not pulse.silent:
        unseen = [one for one in found if one.stale and one.state == "unknown" and one.id not in planned]
        problems += [_unseen(moment, one) for one in unseen if one.name not in told]
    line = watched.own_line(session)
    if line is not None:
        reason = "None of the reference targets answers: this machine's own line is gone."
        problems.append(Problem("poller", "down", line.since, reason, owner=line.owner))
    problems = sorted(problems, key=_rank)
    summary = watched.answer(wrong, len(orderly), len(planned)).words if found else "No machine is watched yet."
    if pulse.silent and enabled:
        since = f"for {_ago(moment, pulse.at)}" if pulse.at else "since it was installed"
        reason = f"The poller has been silent {since}; what is shown is old. Start it: pantau up"
        problems.insert(0, Problem("poller", "unknown", pulse.at, reason))
        summary = f"Nobody is looking: the poller has been silent {since}."
    elif problems and not any(state in PROBLEMS for state in wrong):
        summary = f"{len(problems)} check{'s need' if len(problems) > 1 else ' needs'} a look."
    return Standing(
        moment, summary, tuple(problems), len(found), counted, pulse.at, watched.last_trouble(session, true()),
        tuple(sorted(planned.values())),
    )  # fmt: skip


def _unseen(moment: datetime, machine: watched.Machine) -> Problem:
    """A machine nobody has looked at for too long: what it was is no longer known (R9)."""
    since = machine.sampled_at
    reason = f"No look for {_ago(moment, since)}." if since else "No look yet."
    return Problem("host", "unknown", since, reason, machine.name, machine.address)


def without_database(reason: str) -> Standing:
    """How things stand while the database cannot be asked: unknown, which is never shown as well."""
    return Standing(now(), reason, (Problem("database", "unknown", None, reason),))


def _problems(session: Session) -> Iterator[tuple[int, Problem]]:
    """(host id, problem) of each subject in a bad state, with the incident open for it, if any."""
    wrong = or_(
        and_(Track.subject.like("host:%"), Track.state.in_(("down", "unreachable", "unknown"))),
        and_(Track.subject.like("check:%"), Track.state.in_(("down", "unknown"))),
        and_(Track.subject.like("metric:%"), Track.state.in_(("warning", "critical"))),
    )
    rows = session.execute(
        select(Track, Host.name, Host.address, Check.name, Incident.cause, Latest.failure_detail, Person.name)
        .join(Host, Host.id == Track.host_id)
        .outerjoin(Check, Check.id == Track.check_id)
        .outerjoin(Incident, and_(Incident.subject == Track.subject, Incident.closed_at.is_(None)))
        .outerjoin(Person, Person.id == Incident.owner_id)
        .outerjoin(Latest, Latest.check_id == case((Track.subject.like("check:%"), Track.check_id)))
        .where(wrong, Host.enabled, or_(Check.id.is_(None), Check.enabled))
    ).all()
    names = {track.subject: name for track, name, *_ in rows if track.subject.startswith("host:")}
    lost = {track.host_id for track, *_ in rows if track.subject.startswith("host:")}
    for track, name, address, check, cause, detail, owner in rows:
        kind, _, rest = track.subject.partition(":")
        if kind != "host" and track.host_id in lost:
            continue  # its machine is told already
        measure, part = [*rest.split(":", 2), "", ""][1:3] if kind == "metric" else ("", "")
        of = {"machine": name, "address": address, "check": check or "", "measure": measure, "part": part}
        of["owner"] = owner or ""
        of["cause"] = _cause(track, names) if track.state == "unreachable" else ""
        yield track.host_id, Problem(cast(Kind, kind), track.state, track.since, cause or detail or "", **of)


def _cause(track: Track, names: dict[str, str]) -> str:
    """What explains the state of a machine, by name (domain.health.Track.cause)."""
    cause = str(track.data.get("cause", ""))
    return MONITOR if cause == MONITOR else names.get(cause, "")


def _rank(problem: Problem) -> tuple[int, float, str]:
    return (PROBLEMS.index(problem.state), problem.since.timestamp() if problem.since else 0.0, problem.what.lower())


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _ago(moment: datetime, then: datetime) -> str:
    """How long it is since `then`, in one unit."""
    passed = max(0, int((moment - then).total_seconds()))
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if passed >= size:
            return f"{passed // size} {name}{'s' if passed // size > 1 else ''}"
    return f"{passed} second{'' if passed == 1 else 's'}"


def _clean(line: str) -> str:
    """What a machine said must not move the reader's cursor."""
    return "".join(c if c.isprintable() else " " for c in line)
