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
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from config.vault import Opener, VaultError
from domain import approving, calendar
from domain.actions import Request, Runbook
from domain.clock import now
from domain.inventory import Credential, HostKey, Window
from domain.reading import Secret
from domain.records import Track
from poller.plan import unseal
from poller.sources import Sources
from probes.ssh.act import Hand, NotDone, Unit, Unsure, Way, hand

_log = logging.getLogger("poller")
AT_ONCE = 4
"""Machines acted upon beside each other."""
LOGIN, COMMAND = 30.0, 90.0
"""Seconds for a look at the machine, and for the order itself with the login."""
WINDOW = timedelta(minutes=15)
"""Maintenance around a restart: long enough to come back, short enough to alarm when it does not."""


@dataclass(frozen=True)
class Patience:
    """How long the proof is waited for, in seconds."""

    restart: float = 600.0
    service: float = 60.0
    checks: float = 180.0
    pause: float = 5.0


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
    kind: str
    service: str
    boot: str
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
            outcome = self._restart(job) if job.kind == "host.restart" else self._inside(job)
            self._end(request_id, "done", outcome)
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
        if ours(host.address):
            raise _Ended("cancelled", code="ourselves")
        port = approving.way(session, host)
        login = session.get(Credential, host.action_credential_id or 0)
        if port is None or login is None:
            raise _Ended("cancelled", code="changed")
        keys = session.scalars(
            select(HostKey.key).where(HostKey.host_id == host.id, HostKey.port == port, HostKey.state == "pinned")
        )
        secret: Secret = unseal(login, self._opener, self._sources)
        book = session.get(Runbook, request.params.get("runbook") or 0) if request.kind == "runbook.run" else None
        values = request.params.get("values", {})
        ordered = [values[one["name"]] for one in book.parameters] if book else []
        return _Job(
            request.id, host.id, request.kind, str(request.params.get("service", "")), request.boot,
            Way(host.address, port, tuple(keys), secret), book.script if book else "", tuple(ordered),
            float(book.deadline_s) if book else COMMAND,
        )  # fmt: skip

    def _restart(self, job: _Job) -> dict[str, Any]:
        with hand(job.way, COMMAND) as there:
            before = self._met(job, there)
            self._window(job)
            self._leave(job)
            there.order(job.kind)
        self._step(job, "taken")
        self._step(job, "awaited")
        after = self._until(job, self._patience.restart, lambda: self._new_start(job, before))
        if after is None:
            raise _Ended("unknown", text="The machine did not come back as a new start of itself in time. Look at it.")
        self._step(job, "proof", before=before, after=after)
        self._well(job)
        return {"before": before, "after": after}

    def _inside(self, job: _Job) -> dict[str, Any]:
        with hand(job.way, LOGIN + job.deadline) as there:
            self._met(job, there)
            if job.kind == "runbook.run":
                self._leave(job)
                said = there.script(job.script, job.values)
                self._step(job, "said", text=said or "–")
                return {"code": "ran"}
            before = there.unit(job.service)
            self._leave(job)
            there.order(job.kind, job.service)
        self._step(job, "taken")
        seen: list[Unit] = []
        after = self._until(job, self._patience.service, lambda: self._changed(job, before, seen))
        if after is None and not seen:
            raise _Ended(
                "unknown", text=f"The machine took it and does not answer any more. Look at {job.service} by hand."
            )
        if after is None:
            raise _Ended(
                "failed", text=f"{job.service} is {_told(seen[-1])} afterwards, not as it should be. Look at it."
            )
        self._step(job, "proof", before=_told(before), after=_told(after))
        self._well(job)
        return {"before": _told(before), "after": _told(after)}

    def _changed(self, job: _Job, before: Unit, seen: list[Unit]) -> Unit | None:
        """The service as it should be after the order; `seen` takes whatever it was found to be. A line of its own: the
        order may have cut the one it came by."""
        try:
            with hand(job.way, LOGIN) as there:
                seen.append(there.unit(job.service))
        except NotDone:
            return None
        return _proven(job.kind, before, seen[-1])

    def _met(self, job: _Job, there: Hand) -> str:
        """The start of the machine, which must be the one that was meant."""
        boot = there.boot()
        if job.boot and job.boot != boot:
            raise _Ended("cancelled", code="rebooted")
        self._step(job, "looked")
        return boot

    def _new_start(self, job: _Job, before: str) -> str | None:
        try:
            with hand(job.way, LOGIN) as there:
                boot = there.boot()
        except NotDone:
            return None
        return boot if boot != before else None

    def _until(self, job: _Job, seconds: float, look: Callable[[], Any]) -> Any:
        end = time.monotonic() + seconds
        while True:
            if (found := look()) is not None:
                return found
            if time.monotonic() >= end:
                return None
            if self._stopped.wait(self._patience.pause):
                raise _Ended("unknown", code="cut_off")

    def _well(self, job: _Job) -> None:
        """Wait for the checks, for the thread to tell; that they stay red changes nothing of what was done."""
        self._looked(job.host_id)

        def green() -> bool | None:
            state = self._within(lambda session: session.scalar(select(Track.state).where(Track.subject == f"host:{job.host_id}")))  # fmt: skip
            return True if state == "up" else None

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

    def _leave(self, job: _Job) -> None:
        """On the record, and committed, before a byte of the order leaves."""

        def leave(session: Session) -> None:
            approving.sending(session, job.id)
            approving.step(session, job.id, "sent")

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


def _proven(kind: str, before: Unit, after: Unit) -> Unit | None:
    if kind == "service.stop":
        return after if after.state in ("inactive", "failed") else None
    if after.state != "active":
        return None
    return after if kind == "service.start" or (after.since, after.process) != (before.since, before.process) else None


def _told(unit: Unit) -> str:
    return f"{unit.state} {unit.process}".strip()
