"""Actions that were agreed to: claimed, carried out at most once, proven, and told line by line (requirement 46).

The order of things is the promise: the claim is committed before anything else, and that the order leaves is committed
before it does. Whatever dies in between is ended by the next poller, and never done again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from config.vault import Opener, VaultError
from domain import approving, calendar, guests
from domain.actions import Request, Runbook
from domain.approving import Denied
from domain.clock import now
from domain.inventory import Check, Credential, Host, HostKey, Person, Window, host_parent
from domain.orders import INTERRUPTING
from domain.records import FactSeen, Track
from poller.plan import prepare_options, unseal
from poller.sources import Sources
from probes import acting, catalogue
from probes.acting import Hand, LoginRefused, NotDone, Order, Unit, Unsure, Way

_log = logging.getLogger("poller")
AT_ONCE = 4
"""Machines acted upon beside each other."""
LOGIN, COMMAND = 30.0, 90.0
"""Seconds for a look at the machine, and for the order itself with the login."""
SETTLED = timedelta(seconds=5)
"""How exactly it is known when a guest was started."""
WINDOW = timedelta(minutes=15)
"""Maintenance around a restart: long enough to come back, short enough to alarm when it does not."""


TRIES = 3
"""How often a login may be refused while a proof is waited for: accounts are locked at a few more."""


@dataclass(frozen=True)
class Patience:
    """How long the proof is waited for, in seconds. `refused`: the pause after a login that was refused."""

    restart: float = 600.0
    service: float = 60.0
    checks: float = 180.0
    pause: float = 5.0
    stop: float = 120.0
    refused: float = 60.0


class _Ended(Exception):
    """It ends here: the state, and the outcome."""

    def __init__(self, state: str, **outcome: Any) -> None:
        super().__init__(state)
        self.state, self.outcome = state, outcome


@dataclass(frozen=True)
class _Job:
    """A claimed request with all that its work needs, so that no session is open while a machine is waited for."""

    id: int
    host_id: int
    order: Order
    boot: str
    asked: str
    way: Way
    script: str
    values: tuple[str, ...]
    deadline: float


class Actions:
    """Takes up what was agreed to. `serve` is called when something was, and now and then."""

    def __init__(
        self, sessions: sessionmaker[Session], opener: Opener, sources: Sources | None = None,
        looked: Callable[[int], None] = lambda host_id: None, patience: Patience = Patience(),
    ) -> None:  # fmt: skip
        self._sessions, self._opener, self._sources = sessions, opener, sources
        self._looked, self._patience = looked, patience
        self.run = str(uuid.uuid4())
        self._stopped = threading.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """End what a poller before this one left: `unknown` where the order may have left, else `failed`."""
        await asyncio.to_thread(self._within, lambda session: approving.orphans(session, self.run))

    async def serve(self) -> None:
        """End what is over, take up what was agreed to. Raises SQLAlchemyError when PostgreSQL is away."""
        await asyncio.to_thread(self._within, approving.sweep)
        while len(self._under_way) < AT_ONCE:
            found = await asyncio.to_thread(self._claim)
            if found is None:
                return
            task = asyncio.create_task(self._carry_out(found))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def close(self) -> None:
        """Wait for no proof any more: what had left ends as `unknown`."""
        self._stopped.set()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(set(self._under_way))

    def _claim(self) -> int | None:
        def claim(session: Session) -> int | None:
            request = approving.claim(session, self.run)
            return request.id if request else None

        found: int | None = self._within(claim)
        return found

    async def _carry_out(self, request_id: int) -> None:
        try:
            await asyncio.to_thread(self.carry_out, request_id)
        except Exception:  # noqa: BLE001 - the border of one action: its end is told by the next poller at the latest
            _log.warning("An action failed in our own code.", exc_info=True)
            await asyncio.to_thread(self._within, lambda session: approving.abandon(session, request_id, self.run))
        host = await asyncio.to_thread(self._within, lambda session: session.scalar(select(Request.host_id).where(Request.id == request_id)))  # fmt: skip
        if host is not None:
            self._looked(host)

    def carry_out(self, request_id: int) -> None:
        """The whole of one claimed request, on a thread."""
        try:
            job = self._within(lambda session: self._job(session, request_id))
            self._end(request_id, "done", self._run(job) if job.order.kind == "runbook.run" else self._do(job))
        except _Ended as ended:
            self._end(request_id, ended.state, ended.outcome)
        except NotDone as error:
            self._end(request_id, "failed", {"text": str(error)})
        except Unsure as error:
            self._end(request_id, "unknown", {"text": str(error)})
        except VaultError as error:
            self._end(request_id, "failed", {"text": str(error)})

    def _job(self, session: Session, request_id: int) -> _Job:
        request = session.get(Request, request_id)
        assert request is not None
        host = request.host
        if ours(host.address) or (request.kind == "vm.restart" and our_name(host.name)):
            raise _Ended("cancelled", code="ourselves")
        there, check, boot = host, approving.way(session, host), request.boot
        about = str(request.params.get("service", ""))
        if request.kind == "vm.restart":
            _met_before(session, request)
            by = approving.hypervisor(session, host, request.params)
            found = session.get(Host, by.id) if by else None
            if by is None or found is None:
                raise _Ended("cancelled", code="changed")
            there, check, about, boot = found, session.get(Check, by.check_id), by.guest, ""
        elif request.kind == "host.restart" and _carries_us(session, host):
            raise _Ended("cancelled", code="ourselves")
        login = session.get(Credential, there.action_credential_id or 0)
        if check is None or login is None:
            raise _Ended("cancelled", code="changed")
        book = session.get(Runbook, request.params.get("runbook") or 0) if request.kind == "runbook.run" else None
        values = request.params.get("values", {})
        ordered = [values[one["name"]] for one in book.parameters] if book else []
        order = Order(request.kind, about, _note(session, request))
        asked = acting.begun((approving.clock(session) - request.made_at).total_seconds())
        job = _Job(
            request.id, host.id, order, boot, asked, self._way(session, there, check, login), book.script if book else "",
            tuple(ordered), float(book.deadline_s) if book else COMMAND,
        )  # fmt: skip
        _still_bound(session, request)
        return job

    def _way(self, session: Session, host: Host, check: Check, login: Credential) -> Way:
        keys: dict[int, list[str]] = {}
        pinned = select(HostKey).where(HostKey.host_id == host.id, HostKey.state == "pinned").order_by(HostKey.id)
        for key in session.scalars(pinned):
            keys.setdefault(key.port, []).append(key.key)
        try:
            options = prepare_options(catalogue()[check.kind], check.options, keys)
        except (KeyError, ValueError) as error:
            raise NotDone(f"The check by whose way it would go is not usable: {error}") from None
        return Way(check.kind, host.address, options, unseal(login, self._opener, self._sources))

    def _run(self, job: _Job) -> dict[str, Any]:
        with _hand(job, LOGIN + job.deadline) as there:
            self._met(job, there)
            self._leave(job)
            said = there.script(job.script, job.values)
        self._step(job, "said", text=said or "–")
        return {"code": "ran"}

    def _do(self, job: _Job) -> dict[str, Any]:
        """Look, let each part leave once, and wait for the proof."""
        again = job.order.kind in INTERRUPTING
        with _hand(job, LOGIN + job.deadline) as there:
            start = self._met(job, there)
            unit = None if again else there.unit(job.order.about)
            first, *rest = there.parts(job.order)
            if again:
                self._window(job)
            self._leave(job, first)
            self._first(job, there, first, last=not rest)
        self._step(job, "taken")
        for part in rest:
            self._next(job, part)
        if unit is None:
            return self._new_start(job, start)
        return self._changed(job, unit, stopped=bool(rest))

    def _met(self, job: _Job, there: Hand) -> str:
        """The start of the machine, which must be the one that was meant."""
        start = there.start(job.order)
        if job.boot and not acting.same(job.boot, start):
            raise _Ended("cancelled", code="rebooted")
        if job.order.kind == "vm.restart" and acting.newer(job.asked, start, SETTLED):
            raise _Ended("cancelled", code="rebooted")
        self._step(job, "looked")
        return start

    def _first(self, job: _Job, there: Hand, part: str, *, last: bool) -> None:
        try:
            there.send(job.order, part)
        except Unsure as error:
            more = "" if last else f" It may have stopped {job.order.about}, which is not started again: look at it."
            raise Unsure(f"{error}{more}") from None

    def _next(self, job: _Job, part: str) -> None:
        """Once what was stopped has stopped, let the next part leave, once."""
        self._step(job, "stopping")
        about = job.order.about

        def look() -> bool | None:
            with _hand(job, LOGIN + job.deadline) as there:
                if not there.down(job.order):
                    return None
                self._step(job, "stopped")
                self._leave(job, part)
                try:
                    there.send(job.order, part)
                except NotDone as error:
                    raise _Ended("failed", text=f"{about} was stopped, and did not start again. {error}") from None
                except Unsure as error:
                    raise _Ended("unknown", text=f"{about} was stopped, and may not have started. {error}") from None
            return True

        if self._until(job, self._patience.stop, look) is None:
            raise _Ended("unknown", code="not_stopped", about=about)
        self._step(job, "taken")

    def _new_start(self, job: _Job, before: str) -> dict[str, Any]:
        """Wait until the machine is another start of itself."""
        self._step(job, "awaited")

        def look() -> str | None:
            with _hand(job, LOGIN) as there:
                start = there.start(job.order)
            return start if acting.newer(before, start) else None

        after = self._until(job, self._patience.restart, look)
        if after is None and job.order.kind == "vm.restart":
            raise _Ended(
                "unknown", text=f"{job.order.about} did not come back as a new start of itself in time. Look at it."
            )
        if after is None:
            raise _Ended("unknown", text="The machine did not come back as a new start of itself in time. Look at it.")
        return self._proven(job, before, after)

    def _changed(self, job: _Job, before: Unit, *, stopped: bool) -> dict[str, Any]:
        """Wait until the service is as it should be. A line of its own for each look: the order may have cut the one it
        came by."""
        seen: list[Unit] = []

        def look() -> Unit | None:
            with _hand(job, LOGIN) as there:
                seen.append(there.unit(job.order.about))
            return _proven(job.order.kind, before, seen[-1], stopped=stopped)

        after = self._until(job, self._patience.service, look)
        about = job.order.about
        if after is None and not seen:
            raise _Ended("unknown", text=f"The machine took it and does not answer any more. Look at {about} by hand.")
        if after is None:
            raise _Ended("failed", text=f"{about} is {seen[-1].told} afterwards, not as it should be. Look at it.")
        return self._proven(job, before.told, after.told)

    def _proven(self, job: _Job, before: str, after: str) -> dict[str, Any]:
        self._step(job, "proof", before=before, after=after)
        self._well(job)
        return {"before": before, "after": after}

    def _until(self, job: _Job, seconds: float, look: Callable[[], Any]) -> Any:
        """What `look` brings once it brings something; None when it does not in time. That it cannot look is no matter."""
        end, refused = time.monotonic() + seconds, 0
        while True:
            pause = self._patience.pause
            try:
                if (found := look()) is not None:
                    return found
            except LoginRefused:
                refused, pause = refused + 1, self._patience.refused
            except NotDone:
                pass
            if refused >= TRIES or time.monotonic() >= end:
                return None
            if self._stopped.wait(pause):
                raise _Ended("unknown", code=self._within(lambda session: approving.cut(session, job.id)))

    def _well(self, job: _Job) -> None:
        """Wait for the checks, for the thread to tell; that they stay red changes nothing of what was done."""
        self._looked(job.host_id)

        def green() -> bool | None:
            state = self._within(lambda session: session.scalar(select(Track.state).where(Track.subject == f"host:{job.host_id}")))  # fmt: skip
            return True if state == "up" else None

        with suppress(_Ended):  # who stops meanwhile has been shown all the same that it came about
            if self._until(job, self._patience.checks, green):
                self._step(job, "checks")

    def _window(self, job: _Job) -> None:
        def begin(session: Session) -> None:
            request, at = session.get(Request, job.id), now()
            assert request is not None
            rule = calendar.once(at, at + WINDOW, zone="UTC")
            session.add(
                Window(
                    host_id=job.host_id, note=request.reason[:500], kind=rule.kind, options=rule.options(),
                    zone=rule.zone, made_by=request.made_by,
                )
            )  # fmt: skip
            approving.step(session, job.id, "window")

        self._within(begin)

    def _leave(self, job: _Job, part: str = acting.WHOLE) -> None:
        """On the record, and committed, before a byte of the order, or of this part of it, leaves."""

        def leave(session: Session) -> None:
            approving.sending(session, job.id)
            approving.step(session, job.id, f"sent_{part}" if part else "sent")

        self._within(leave)

    def _step(self, job: _Job, code: str, **detail: Any) -> None:
        self._within(lambda session: approving.step(session, job.id, code, **detail))

    def _end(self, request_id: int, state: str, outcome: dict[str, Any]) -> None:
        while True:
            try:
                self._within(lambda session: approving.end(session, request_id, self.run, state, outcome))
                return
            except SQLAlchemyError:  # what was done is not forgotten because PostgreSQL is away for a while
                if self._stopped.wait(self._patience.pause):
                    return  # the next poller ends it

    def _within(self, work: Callable[[Session], Any]) -> Any:
        with self._sessions() as session, session.begin():
            return work(session)


def ours(address: str) -> bool:
    """Whether an address is one of the machine Pantau itself runs on. A name is asked for, and every answer counts."""
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    for family, kind, _, _, where in found:
        with socket.socket(family, kind) as line:
            try:
                line.bind((where[0], 0))
            except OSError:
                continue
            return True
    return False


def _hand(job: _Job, seconds: float) -> AbstractContextManager[Hand]:
    act = catalogue()[job.way.kind].act
    if act is None:
        raise NotDone("Nothing can be done to a machine this way.")
    return act(job.way, seconds)


def _note(session: Session, request: Request) -> str:
    """A few words for the machine's own log: which request it is, and who agreed to it or else asked for it."""
    said = [vote.person_id for vote in request.votes if vote.agrees]
    rows = session.execute(select(Person.name).where(Person.id.in_(said or [request.made_by or 0])).order_by(Person.id))
    names = ", ".join(name for (name,) in rows)
    return f"Pantau, request {request.id}, {'agreed' if said else 'asked'} by {names or 'nobody known'}"


def _still_bound(session: Session, request: Request) -> None:
    """Raises where what was just read is not what was agreed to: it may have been changed since the claim."""
    try:
        now_bound = approving.order(session, request.host, request.kind, request.params)[1]
    except Denied as error:
        raise _Ended("cancelled", code=error.code, **error.about) from None
    if now_bound != request.bound:
        raise _Ended("cancelled", code="changed")


def our_name(name: str) -> bool:
    """Whether a machine is called as the one Pantau itself runs on, by the first label."""
    return name.strip().partition(".")[0].casefold() == socket.gethostname().partition(".")[0].casefold()


def _carries_us(session: Session, host: Host) -> bool:
    """Whether the machine Pantau runs on is a guest of this one."""
    tells = select(FactSeen.check_id).where(FactSeen.host_id == host.id, FactSeen.name.in_(guests.FACTS)).limit(1)
    if session.scalar(tells) is None:
        return False
    below = select(Host.name, Host.address).join(host_parent, host_parent.c.host_id == Host.id)
    return any(
        our_name(name) or ours(address)
        for name, address in session.execute(below.where(host_parent.c.parent_id == host.id))
    )


def _met_before(session: Session, request: Request) -> None:
    """Raises where the guest, as its own check saw it, is another start than the requester saw."""
    seen = approving.boot(session, request.host)
    if request.boot and seen and not acting.same(request.boot, seen):
        raise _Ended("cancelled", code="rebooted")


def _proven(kind: str, before: Unit, after: Unit, *, stopped: bool) -> Unit | None:
    """The service afterwards, if it is as it should be; `stopped`: it was seen stopped in between."""
    if kind == "service.stop":
        return after if after.runs is False else None
    if not after.runs:
        return None
    new = kind == "service.start" or stopped or after.mark != before.mark
    return after if new else None
