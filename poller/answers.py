"""Looks somebody is waiting for: claimed from the `look` table, made at once, answered step by step."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy.orm import Session, sessionmaker

from config.vault import Opener, VaultError
from domain.inventory import Credential, HostKey
from domain.options import fill
from domain.reading import Failure, FailureKind, Reading, Secret, Target
from domain.spoken import as_json
from poller.lanes import Lanes, broken
from poller.plan import Plan, prepare_options, secret_of, unseal
from poller.round import Round, look_round
from poller.schedule import TICK
from poller.sources import Sources
from probes import catalogue
from probes.base import Probe

_log = logging.getLogger("poller")
AT_ONCE = 8
"""Looks answered beside each other."""
SWEPT_AT_ONCE = 48
SWEEP_DEADLINE = 3.0
PORTS = {"ssh": 22, "http": 80, "https": 443, "winrm": 5985}
"""What a sweep knocks at."""
FIRST = {"denied": "login", "untrusted": "login", "unsupported": "command", "broken": "command", "refused": "value"}
"""On which rung a look failed that had found its port open."""


class Answers:
    """Answers every waiting look; `serve` is called when one was asked, and now and then in case nobody called."""

    def __init__(
        self, url: str, sessions: sessionmaker[Session], opener: Opener, lanes: Lanes,
        plan: Callable[[], Plan], record: Callable[[Round], None], sources: Sources | None = None,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._url, self._sessions, self._opener, self._lanes = url, sessions, opener, lanes
        self._plan, self._record = plan, record
        self._connection: AsyncConnection[Any] | None = None
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Claim what waits and begin answering. Raises psycopg.Error when PostgreSQL is away."""
        while len(self._under_way) < AT_ONCE and (row := await self._claim()) is not None:
            task = asyncio.create_task(self._answer(*row))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _claim(self) -> tuple[Any, ...] | None:
        async with self._lock:
            connection = await self._open()
            cursor = await connection.execute(
                "update look set claimed_at = now() where id = (select id from look where claimed_at is null"
                " and asked_at > now() - interval '2 minutes' order by asked_at limit 1 for update skip locked)"
                " returning id, kind, host_id, check_id, asked, sealed"
            )
            return await cursor.fetchone()

    async def _open(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.broken:
            self._connection = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau answers"
            )
        return self._connection

    async def _say(self, id: str, answer: dict[str, Any], *, done: bool = False) -> None:
        """The answer as far as it is known, with NOTIFY `look`."""
        async with self._lock:
            connection = await self._open()
            async with connection.transaction():
                await connection.execute(
                    "update look set answer = %s, done_at = case when %s then now() end where id = %s",
                    [json.dumps(answer), done, id],
                )
                await connection.execute("select pg_notify('look', %s)", [id])

    async def _answer(
        self, id: str, kind: str, host_id: int | None, check_id: int | None, asked: dict[str, Any], sealed: bytes | None
    ) -> None:  # fmt: skip
        try:
            if kind == "run":
                answer = await self._run(host_id, check_id)
            elif kind == "test":
                answer = await self._test(id, asked, sealed)
            else:
                answer = await self._sweep(id, [str(a) for a in asked.get("addresses", [])][:1024])
        except (ValueError, VaultError, LookupError) as error:
            answer = {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - the border of one asked look: whoever waits is told, nothing else stops
            _log.warning("A look that was asked for failed in our own code.", exc_info=True)
            failure = broken(error).failure
            answer = {"error": failure.detail if failure else ""}
        await self._say(id, answer, done=True)

    async def _run(self, host_id: int | None, check_id: int | None) -> dict[str, Any]:
        """All checks of the host, now, recorded: one check alone could not say whether the host is up (R23)."""
        host = next(
            (
                h for h in self._plan().hosts.values()
                if h.id == host_id or any(check.id == check_id for check in h.checks)
            ),
            None,
        )  # fmt: skip
        if host is None:
            raise LookupError("This machine is not being watched: it is switched off or was deleted.")
        if not host.checks:
            raise LookupError("This machine has no checks yet. Add one first.")
        round = await look_round(self._lanes, host, host.checks, self._lanes.moment(), down=False)
        self._record(round)
        return {
            "readings": [
                {"check_id": look.check.id, "took": look.seen.reading.took, "failure": _failure(look.seen.reading)}
                for look in round.looks
            ]
        }

    async def _test(self, id: str, asked: dict[str, Any], sealed: bytes | None) -> dict[str, Any]:
        """The ladder name, ping, port, login, command, value, told rung by rung."""
        probe = catalogue().get(str(asked.get("kind")))
        if probe is None:
            raise ValueError(f"There is no '{asked.get('kind')}' check.")
        options, secret = await asyncio.to_thread(self._unlock, id, probe, asked, sealed)
        answer: dict[str, Any] = {"rungs": [], "reading": None}
        address = str(asked.get("address", ""))

        async def rung(name: str, state: str, detail: str, took: float) -> None:
            answer["rungs"].append({"rung": name, "state": state, "detail": detail, "took": round(took, 4)})
            await self._say(id, answer)

        if not await self._below(probe, options, address, rung):
            return answer
        seen = (await self._lanes.look(probe, Target(address, options, secret, 15.0))).reading
        answer["reading"] = as_json(seen)
        await self._above(probe, seen, rung)
        return answer

    async def _below(self, probe: Probe, options: Any, address: str, rung: Any) -> bool:
        """The rungs under the probe itself; False where the ladder ends here. A silent ping alone ends nothing."""
        icmp, tcp = catalogue().get("icmp"), catalogue().get("tcp")
        if icmp is not None and probe.transport in ("tcp", "udp") and probe.kind != "local":
            reading = (await self._lanes.look(icmp, Target(address, fill(icmp.options, {}), None, 3.0))).reading
            if reading.failure is not None and reading.failure.kind is FailureKind.UNSUPPORTED:
                await rung("name", "fail", reading.failure.detail, reading.took)
                return False
            await rung("name", "ok", "", 0.0)
            failure = reading.failure
            await rung("ping", "fail" if failure else "ok", failure.detail if failure else _ping(reading), reading.took)
        port = getattr(options, "knocks", None)
        if port is None:
            port = getattr(options, "port", None) or probe.port
        if tcp is not None and port and probe.transport == "tcp" and probe.kind not in ("tcp", "local"):
            reading = (
                await self._lanes.look(tcp, Target(address, fill(tcp.options, {"port": port}), None, 5.0))
            ).reading
            failure = reading.failure
            await rung("port", "fail" if failure else "ok", failure.detail if failure else str(port), reading.took)
            return failure is None
        return True

    async def _above(self, probe: Probe, seen: Reading, rung: Any) -> None:
        """The probe's own rungs, from what its look brought."""
        steps = ["login", "command", "value"] if probe.secret else ["value"]
        failed = seen.failure and FIRST.get(str(seen.failure.kind), steps[0])
        for step in steps:
            if seen.failure is not None and (step == failed or step == steps[-1]):
                await rung(step, "fail", seen.failure.detail, seen.took)
                return
            await rung(step, "ok", _value(seen) if step == "value" else "", seen.took if step == steps[0] else 0.0)

    def _unlock(self, id: str, probe: Probe, asked: dict[str, Any], sealed: bytes | None) -> tuple[Any, Secret | None]:
        """The probe's options and the secret to try, from the rows named."""
        with self._sessions() as session:
            pinned: dict[int, list[str]] = {}
            if asked.get("host_id") is not None:
                for key in session.query(HostKey).filter_by(host_id=asked["host_id"], state="pinned"):
                    pinned.setdefault(key.port, []).append(key.key)
            options = prepare_options(probe, dict(asked.get("options") or {}), pinned)
            if sealed is not None:
                typed = asked.get("typed") or {}
                opened = self._opener.open(sealed, f"look:{id}")
                return options, secret_of(str(typed.get("kind")), str(typed.get("username", "")), opened)
            if asked.get("credential_id") is None:
                return options, None
            credential = session.get(Credential, asked["credential_id"])
            if credential is None:
                raise LookupError("The credential chosen is no longer there. Choose another.")
            return options, unseal(credential, self._opener, self._sources)

    async def _sweep(self, id: str, addresses: list[str]) -> dict[str, Any]:
        """Ping and knock at every address; the answer grows a few times a second."""
        rows = [_blank(address) for address in addresses]
        seats = asyncio.Semaphore(SWEPT_AT_ONCE)

        async def one(row: dict[str, Any]) -> None:
            async with seats:
                await self._knock(row)

        work = asyncio.gather(*(one(row) for row in rows))
        while not work.done():
            await asyncio.wait([work], timeout=2 * TICK)
            await self._say(id, {"rows": rows})
        await work
        return {"rows": rows}

    async def _knock(self, row: dict[str, Any]) -> None:
        icmp, tcp = catalogue()["icmp"], catalogue()["tcp"]
        ping, *ports = await asyncio.gather(
            self._lanes.look(icmp, Target(row["address"], fill(icmp.options, {}), None, SWEEP_DEADLINE)),
            *(
                self._lanes.look(tcp, Target(row["address"], fill(tcp.options, {"port": port}), None, SWEEP_DEADLINE))
                for port in PORTS.values()
            ),
        )
        rtt = next((m.value for m in ping.reading.measures if m.name == "icmp.rtt.median"), None)
        row["ping"] = {"ok": ping.reading.failure is None, "rtt": rtt}
        for name, seen in zip(PORTS, ports, strict=True):
            row[name] = {"ok": seen.reading.failure is None}
        silent = not any(row[name]["ok"] for name in ("ping", *PORTS))
        row["detail"] = ping.reading.failure.detail if silent and ping.reading.failure else ""
        row["done"] = True


def _blank(address: str) -> dict[str, Any]:
    closed = {name: {"ok": None} for name in PORTS}
    return {"address": address, "name": "", "ping": {"ok": None, "rtt": None}, **closed, "detail": "", "done": False}


def _failure(reading: Reading) -> dict[str, str] | None:
    failure: Failure | None = reading.failure
    return {"kind": str(failure.kind), "detail": failure.detail} if failure else None


def _ping(reading: Reading) -> str:
    rtt = next((m.value for m in reading.measures if m.name == "icmp.rtt.median"), None)
    return "" if rtt is None else f"{rtt * 1000:.1f} ms"


def _value(reading: Reading) -> str:
    """The first numbers, for a person to recognise the machine by."""
    shown = [m for m in reading.measures if not m.of][:3]
    return ", ".join(f"{m.name} {m.value:.4g} {'' if m.unit == '1' else m.unit}".strip() for m in shown)
