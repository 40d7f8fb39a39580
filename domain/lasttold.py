"""Decides what one receiver is told now: by what holds, and by what this receiver was last told (R12, R17, R25).

Pure. What waits for a route is folded into what is worth saying: news overtaken by later news, news of what is over
again, and what somebody has in hand already, need no message; a crowd of them is one digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.audience import Hours, Severity, severity_of

CROWD = 10
"""More problems than this within CROWD_SPAN are one digest."""
CROWD_SPAN = timedelta(seconds=60)
DIGEST_PAUSE = timedelta(minutes=5)
"""Between two digests, at least."""
LATE = timedelta(minutes=5)
"""What is older was held up (a channel that was down, quiet hours): what is left of it is told together."""
STATES = {
    "flap_start": "flapping",
    "poller_silent": "silent",
    "uplink_lost": "lost",
    "check_problem": "unknown",
}
LETTERS = frozenset({"mention", "request", "job"})
"""What is said to one person and leaves nothing standing: each is told, whatever was told before."""
WELL = frozenset({"recovery", "poller_back", "uplink_back"}) | LETTERS
UNWANTED = "recoveries are not wanted here"
HIDDEN = "what it is about is not theirs to see any more"
STOPPED = frozenset({"problem", "check_problem", "reminder", "flap_start", "digest"})
"""What an acknowledgement stops: it is in hand."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One delivery that waits. `kind`, `subject`, `state`, `since`, `at` are its notice's; `in_hand`, `over` its incident's.

    `unsure`: it may have been taken already, although nobody said so. `hidden`: the receiver may not know of the machine
    (any more).
    """

    id: int
    kind: str
    subject: str
    state: str
    since: datetime
    at: datetime
    in_hand: bool = False
    over: bool = False
    unsure: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """What the receiver was last told of a subject."""

    state: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Taste:
    """What the receiver wants; see domain.recipients.Route."""

    enabled: bool = True
    severity: Severity = "warning"
    recoveries: bool = True
    quiet: Hours | None = None
    quiet_critical: bool = True
    muted_until: datetime | None = None
    hourly: int = 60


@dataclass(frozen=True, slots=True)
class Lately:
    """What went to this receiver before: moments of the single messages of the last hour, and of the last digest."""

    sent: Sequence[datetime] = ()
    digest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done now.

    `drop`: deliveries that need no message, and why; `single`: deliveries told one by one, in this order; `digest`:
    deliveries told together; `held`: deliveries that wait, until `later`. `forget`: subjects whose
    marks go: they are well again and this receiver did not want to hear so, or may have heard it already, or may not see
    the machine any more. `assume`: dropped
    deliveries that may have been taken: what they said is as good as told, and their marks are set.
    """

    drop: Mapping[int, str]
    single: tuple[int, ...] = ()
    digest: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    later: datetime | None = None
    forget: tuple[str, ...] = ()
    assume: tuple[int, ...] = ()


def stands(kind: str, state: str) -> str:
    """The state a notice leaves its receiver with: empty = all is well."""
    if kind in WELL:
        return ""
    if kind == "flap_stop":
        return "" if state in ("up", "ok") else state
    return STATES.get(kind, state)


def plan(pending: Sequence[Pending], marks: Mapping[str, Marked], taste: Taste, lately: Lately, now: datetime) -> Plan:
    """What of `pending` (in the order of their making) is told now, dropped, or kept for later."""
    if not taste.enabled:
        return Plan({row.id: "switched off" for row in pending})
    drop, left = _folded([row for row in pending if not row.hidden], marks, taste)
    drop |= {row.id: HIDDEN for row in pending if row.hidden}
    held, later = [], None
    if taste.muted_until is not None and taste.muted_until > now:
        held, left, later = left, [], taste.muted_until if left else None
    elif taste.quiet is not None and (over := taste.quiet.until(now)) is not None:
        loud = [row for row in left if taste.quiet_critical and _critical(row, marks)]
        held, left = [row for row in left if row not in loud], loud
        later = over if held else None
    single, digest, wait = _bundled(left, lately, taste, now)
    if wait is not None:
        held, later = [*held, *left], wait if later is None else min(later, wait)
    doubtful = [row for row in pending if row.unsure and row.id in drop and not row.hidden]
    heard_well = [row for row in doubtful if not stands(row.kind, row.state)]
    untold = [row for row in pending if drop.get(row.id) in (UNWANTED, HIDDEN)]
    forget = (row.subject for row in (*heard_well, *untold))
    assume = (row.id for row in doubtful if stands(row.kind, row.state) and row.kind != "digest")
    held_ids = tuple(row.id for row in held)
    return Plan(drop, tuple(single), tuple(digest), held_ids, later, tuple(dict.fromkeys(forget)), tuple(assume))


def _folded(
    pending: Sequence[Pending], marks: Mapping[str, Marked], taste: Taste
) -> tuple[dict[int, str], list[Pending]]:
    """What needs no message, with the reason, and the rest: of each subject the last word, if it is news."""
    drop: dict[int, str] = {}
    last: dict[str, Pending] = {}
    known = dict(marks)
    for row in pending:
        if row.kind == "digest":
            last[f"digest {row.id}"] = row
            continue
        before = last.get(row.subject)
        if before is not None:
            drop[before.id] = "overtaken by later news"
            if before.unsure:
                known[row.subject] = Marked(stands(before.kind, before.state), before.since)
        last[row.subject] = row
    left = []
    for row in sorted(last.values(), key=lambda row: row.id):
        mark = known.get(row.subject)
        why = _needless(row, mark if mark is not None and mark.state else None, taste)
        if why:
            drop[row.id] = why
        else:
            left.append(row)
    return drop, left


def _needless(row: Pending, mark: Marked | None, taste: Taste) -> str:
    """Why this needs no message to this receiver; empty where it does."""
    standing = stands(row.kind, row.state)
    if row.kind in LETTERS:
        return ""
    if not standing:
        if mark is None:
            return "its trouble was never told here"
        return "" if taste.recoveries else UNWANTED
    if row.in_hand and row.kind in STOPPED:
        return "somebody has it in hand"
    if row.over and row.kind in STOPPED:
        return "over before it could be told"
    if taste.severity == "critical" and severity_of(standing) == "warning":
        return "only what is critical is wanted here"
    if row.kind == "reminder":
        return ""
    if mark is not None and mark.state == standing and row.kind != "digest":
        return "told already"
    return ""


def _critical(row: Pending, marks: Mapping[str, Marked]) -> bool:
    """Good news is as loud as the bad it ends."""
    mark = marks.get(row.subject)
    return severity_of(stands(row.kind, row.state) or (mark.state if mark else "warning")) == "critical"


def _bundled(
    left: Sequence[Pending], lately: Lately, taste: Taste, now: datetime
) -> tuple[list[int], list[int], datetime | None]:
    """What is told one by one, what together, and until when all of it waits instead."""
    if not left:
        return [], [], None
    recent = sum(1 for at in lately.sent if at > now - CROWD_SPAN)
    hour = sorted(at for at in lately.sent if at > now - timedelta(hours=1))
    crowd = len(left) + recent > CROWD
    late = len(left) > 1 and now - min(row.at for row in left) > LATE
    full = len(hour) + len(left) > taste.hourly
    if not (crowd or late or full):
        return [row.id for row in left], [], None
    if lately.digest is not None and now - lately.digest < DIGEST_PAUSE:
        return [], [], lately.digest + DIGEST_PAUSE
    if len(left) == 1 and full:
        return [], [], hour[0] + timedelta(hours=1)
    if len(left) == 1:
        return [left[0].id], [], None
    return [], [row.id for row in left], None
