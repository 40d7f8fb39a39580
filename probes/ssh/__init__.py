"""Unix machines over SSH: one kept transport, one long-lived `sh`, pinned host keys, nothing installed there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from domain.options import option
from domain.reading import Cost, Fact, FailureKind, Reading, Secret, Target
from probes import names, unix
from probes.base import Keep, Probe
from probes.limits import Deadline, Guard, TooLate, TooMuch
from probes.refusals import Refusals, digest
from probes.ssh import act
from probes.ssh.files import Broken
from probes.ssh.session import Gate, Refused, Session, connect

LET_GO = 330.0
"""Seconds unused after which a session is closed: machines looked at less often log in anew each time."""
EVERY = {"disks": 55.0, "slow": 290.0, "facts": 3300.0}
"""Seconds between two askings for what moves slowly (unix.call): starting processes is what a look costs a machine."""
OFFERED = "ssh.host_key"


@dataclass(frozen=True)
class Options:
    """How to get in."""

    port: int = option("Port", default=22, low=1, high=65535, help="Where the SSH server listens.")
    host_keys: tuple[str, ...] = option("Trusted host keys", default=(), hidden=True)


WAIT = 3.0
"""Seconds a look waits for another check's use of the session, before it logs in on its own for this once."""

Do = Callable[[Session, Deadline], Reading]


class _Busy(Exception):
    """Another check uses the session for longer than this look can wait."""


def look(target: Target, keep: Keep) -> Reading:
    """One look through the kept shell."""
    return inside(target, keep, _measure)


def inside(target: Target, keep: Keep, do: Do) -> Reading:
    """What `do` brings through a session that is connected, trusted and logged in, or why not.

    The session is kept under (address, port, user, secret) and shared by all checks of the machine, one at a
    time; a broken one is replaced once. `target.options` has `port` and `host_keys`. `do` may raise what
    Session does.
    """
    options: Options = target.options
    secret, deadline = target.secret, Deadline(target.deadline)
    if secret is None or not secret.username:
        return Reading.failed(FailureKind.DENIED, "No user to log in with: choose a credential for this check.")
    key = ("ssh", target.address, options.port, secret.username, digest(secret))
    _let_idle_go(keep, key)
    refusals = keep.get((*key, "refused"), Refusals)
    if refusals.hold_back():
        return Reading.failed(
            FailureKind.DENIED,
            f"The machine refused '{secret.username}' {refusals.count} times; it is tried again every five minutes only, "
            "so that the account is not locked. Mend the credential, then use the test button.",
        )
    try:
        reading = _inside(target, key, secret, keep, deadline, do)
        refusals.count = 0
        return reading
    except Refused as refused:
        if refused.failure.kind is FailureKind.DENIED and refused.asked:
            refusals.again()
        return Reading(failure=refused.failure, facts=_offered(options, refused.offered))
    except names.Unresolved as unknown:
        return unknown.reading()
    except TooLate:
        return Reading.failed(
            FailureKind.TIMEOUT, f"The machine did not finish answering within {target.deadline:g} s."
        )
    except TooMuch as much:
        return Reading.failed(FailureKind.UNSUPPORTED, f"The machine {much}: that is no answer to what was asked.")
    except Broken as broken:
        return Reading.failed(FailureKind.UNSUPPORTED, f"What the machine answers over SSH is of no use: {broken}.")


def _inside(target: Target, key: tuple[object, ...], secret: Secret, keep: Keep, deadline: Deadline, do: Do) -> Reading:
    options: Options = target.options

    def fresh() -> Session:
        keep.get(("ssh", "gate"), Gate).wait(deadline)
        place = names.of(keep).find(target.address, deadline.remaining())[0]
        return connect(place, options.port, secret, options.host_keys, deadline)

    kept: Session | None = keep.peek(key)
    if kept is not None and (not kept.alive or (options.host_keys and kept.host_key not in options.host_keys)):
        keep.drop(key, kept)
        kept = None
    try:
        if kept is not None:
            try:
                return _through(kept, options, deadline, do)
            except Broken:
                keep.drop(key, kept)  # the server was restarted, or cut us off: once more with a fresh session
        return _through(keep.get(key, fresh), options, deadline, do)
    except _Busy:
        with contextlib.closing(fresh()) as own:
            return _through(own, options, deadline, do)


def _through(session: Session, options: Options, deadline: Deadline, do: Do) -> Reading:
    """What `do` brings, alone with the session. One that fails is closed, so that nobody goes on with it."""
    if not session.busy.acquire(timeout=min(WAIT, deadline.check() / 3)):
        raise _Busy
    try:
        if not session.alive:
            raise Broken("another check found it broken")
        session.used = time.monotonic()
        with Guard(deadline) as guard:
            guard.hold(session.line)
            reading = do(session, deadline)
        (sent, received), session.accounted = session.accounted, session.traffic
        cost = Cost(session.accounted[0] - sent, session.accounted[1] - received)
    except (Broken, Refused, TooLate, TooMuch):
        session.close()
        raise
    finally:
        session.busy.release()
    shown = "" if options.host_keys else f"{session.host_key} {session.fingerprint}"
    return replace(reading, facts=(*reading.facts, *_offered(options, shown)), cost=cost)


def _measure(session: Session, deadline: Deadline) -> Reading:
    old, now = session.snapshot, time.monotonic()
    due = [name for name, seconds in EVERY.items() if old is None or now >= session.due.get(name, 0.0)]
    answer = session.ask(tuple(due if old else ["twice", *due]), deadline)
    session.due |= {name: now + EVERY[name] for name in due}
    measures = unix.measures(answer.after(old), old)
    session.snapshot = answer.after(old)
    return Reading(measures, unix.facts(session.snapshot))


def _offered(options: Options, shown: str) -> tuple[Fact, ...]:
    """The key a machine showed that is not pinned yet: "port type base64 fingerprint"."""
    return (Fact(OFFERED, f"{options.port} {shown}"),) if shown else ()


def _let_idle_go(keep: Keep, own: tuple[object, ...]) -> None:
    for key in _sessions(keep):
        session: Session | None = keep.peek(key)
        if key != own and session is not None and time.monotonic() - session.used > LET_GO:
            keep.drop(key)


def _sessions(keep: Keep) -> Iterator[tuple[object, ...]]:
    return (key for key in keep.keys() if key[0] == "ssh" and len(key) == 5)  # noqa: SIM118 - a Keep is no dict


PROBE = Probe(
    kind="ssh",
    label="Unix over SSH",
    look=look,
    options=Options,
    produces=unix.PRODUCES,
    secret=True,
    credentials=("password", "ssh_key"),
    port=22,
    act=act.hand,
)
