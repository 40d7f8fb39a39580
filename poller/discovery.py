"""Looks through a network somebody asked about: at a bounded rate, stopped when told, each machine told as it is found."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import icmplib
import psycopg
from psycopg import AsyncConnection
from sqlalchemy.orm import Session, sessionmaker

from config.vault import Opener, VaultError
from domain.inventory import Credential
from domain.options import fill
from domain.reading import Secret, Target
from poller.lanes import Lanes
from poller.plan import Plan, unseal
from poller.sources import Sources
from probes import catalogue, doors, greet, names
from probes.limits import clean
from probes.names import Place, Unresolved

_log = logging.getLogger("poller")
FIRST = (22, 80, 443, 445, 3389, 5985)
"""Ports knocked at where a ping stays unanswered: a machine that hides from pings mostly serves one of these."""
PORTS = (*FIRST, 5986, 25, 53, 3306, 5432, 6379, 8006, 8080, 8443, 9100)
MOST = 4096
AT_ONCE = 256
"""Questions under way at once: one that nobody answers takes PATIENCE seconds."""
PATIENCE, GREETING = 1.5, 3.0
FLUSH = 0.5
STALLED = 30
"""Seconds without a beat after which a discovery is taken up anew: its poller is gone."""
HOPS, HOP_PATIENCE = 12, 0.7
TRACED_AT_ONCE = 4
BLIND = (
    "Parents cannot be suggested: tracing the way needs raw sockets, which the poller may not open here (CAP_NET_RAW)."
)


class Bucket:
    """So many questions a second and no more; a short pause may be made up for, a long one not."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._next = clock()

    @property
    def rate(self) -> float:
        """Questions a second."""
        return self._rate

    def wait(self) -> float:
        """Takes the next place; how many seconds until it comes."""
        now = self._clock()
        self._next = max(self._next, now - 0.1) + 1 / self._rate
        return max(0.0, self._next - now)


class Discoveries:
    """Works on one discovery at a time; `serve` is called when one was asked for, and now and then."""

    def __init__(
        self, url: str, sessions: sessionmaker[Session], opener: Opener, lanes: Lanes, plan: Callable[[], Plan],
        sources: Sources | None = None,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._url, self._sessions, self._opener, self._lanes, self._plan = url, sessions, opener, lanes, plan
        self._work: asyncio.Task[None] | None = None

    def serve(self) -> None:
        """Begin, unless one is under way."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._run(), name="discovery")

    def close(self) -> None:
        """Stop; what was found stays, and the next poller goes on with the rest."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        try:
            async with await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=3, application_name="pantau discovery"
            ) as line:
                while (row := await self._claim(line)) is not None:
                    await self._one(line, *row)
        except psycopg.Error as error:
            _log.debug("No discovery while PostgreSQL is away (%s).", type(error).__name__)
        except Exception:  # noqa: BLE001 - the border of one discovery: it stops, watching goes on
            _log.warning("A discovery failed in our own code.", exc_info=True)

    async def _claim(self, line: AsyncConnection[Any]) -> tuple[Any, ...] | None:
        cursor = await line.execute(
            "update discovery set beat_at = now() where id = (select id from discovery where done_at is null"
            " and (beat_at is null or beat_at < now() - make_interval(secs => %s)) order by asked_at limit 1"
            " for update skip locked) returning id, addresses, names, rate, credentials, trace",
            [STALLED],
        )
        return await cursor.fetchone()

    async def _one(
        self, line: AsyncConnection[Any], id: str, addresses: list[str], given: dict[str, str], rate: float,
        credentials: list[int], trace: bool,
    ) -> None:  # fmt: skip
        secrets, note = await asyncio.to_thread(self._secrets, credentials)
        known = await self._watched()
        search = Search(self._lanes, Bucket(rate), known, secrets, given)
        reports = Reports(line, id, note)
        threads = ThreadPoolExecutor(TRACED_AT_ONCE, thread_name_prefix="trace")
        try:
            await _all(search, reports, list(enumerate(addresses[:MOST])), Ways(threads) if trace else None)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            reports.note = f"Pantau's own fault, please report it: {type(error).__name__}."
            await reports.flush(done=True)
            raise
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        await reports.flush(done=True)

    def _secrets(self, ids: list[int]) -> tuple[list[tuple[int, Secret]], str]:
        """The SNMP credentials to ask with, and a sentence about those that cannot be used."""
        found, wrong = [], []
        with self._sessions() as session:
            for id in ids[:10]:
                row = session.get(Credential, id)
                try:
                    if row is not None and row.kind in ("community", "snmp_v3"):
                        found.append((id, unseal(row, self._opener, self._sources)))
                except (VaultError, ValueError, KeyError):
                    wrong.append(row.name if row else str(id))
        return found, f"These credentials cannot be opened: {', '.join(wrong)}." if wrong else ""

    async def _watched(self) -> dict[str, str]:
        """Every address of the machines watched already, and their names: one known by its name is no new one."""

        async def places(address: str) -> Iterable[str]:
            try:
                return [place.address for place in await names.of(self._lanes.keep).find_soon(address, 2.0)]
            except Unresolved:
                return ()

        hosts = list(self._plan().hosts.values())
        found = await asyncio.gather(*(places(host.address) for host in hosts))
        own = {address: host.name for host, own in zip(hosts, found, strict=True) for address in own}
        return own | {host.address: host.name for host in hosts}


class Reports:
    """What was found, written a few times a second; knows whether somebody asked to stop."""

    def __init__(self, line: AsyncConnection[Any], id: str, note: str) -> None:
        self._line, self._id, self.note = line, id, note
        self._rows: dict[str, tuple[int, dict[str, Any]]] = {}
        self.looked = 0
        self.stopped = False

    def put(self, place: int, address: str, seen: dict[str, Any]) -> None:
        """A machine that answered, or more about one."""
        self._rows[address] = (place, seen)

    async def flush(self, *, done: bool = False) -> None:
        """Everything new, with NOTIFY `look` and the id."""
        rows, self._rows = self._rows, {}
        async with self._line.transaction(), self._line.cursor() as cursor:
            await cursor.execute(
                "update discovery set looked = %s, beat_at = now(), note = %s, done_at = case when %s then now() end"
                " where id = %s returning stop_at",
                [self.looked, self.note, done, self._id],
            )
            row = await cursor.fetchone()
            self.stopped = row is None or row[0] is not None
            if row is not None:
                await cursor.executemany(
                    "insert into found (discovery_id, address, place, seen) values (%s, %s, %s, %s)"
                    " on conflict (discovery_id, address) do update set seen = excluded.seen",
                    [(self._id, address, place, json.dumps(seen)) for address, (place, seen) in rows.items()],
                )
            await cursor.execute("select pg_notify('look', %s)", [self._id])


class Ways:
    """Traces the way to machines, a few at a time, on threads of its own. `blind` once the system forbids it."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._seats = asyncio.Semaphore(TRACED_AT_ONCE)
        self.blind = False

    async def to(self, address: str) -> list[str]:
        """The routers between here and there, nearest first; none for a neighbour, or where the way cannot be told."""
        async with self._seats:
            if self.blind:
                return []
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, _trace, address)
            except icmplib.SocketPermissionError:
                self.blind = True
            except (icmplib.ICMPLibError, OSError):
                pass
            return []


class Search:
    """Looks at single addresses, each question in its turn."""

    def __init__(
        self, lanes: Lanes, bucket: Bucket, watched: dict[str, str], secrets: list[tuple[int, Secret]],
        given: dict[str, str],
    ) -> None:  # fmt: skip
        self._lanes, self._bucket, self._watched, self._secrets, self._given = lanes, bucket, watched, secrets, given
        self._seats = asyncio.Semaphore(AT_ONCE)

    def beside(self, addresses: int) -> int:
        """How many addresses are looked at beside each other: as many as the rate keeps busy."""
        return max(1, min(32, addresses, int(self._bucket.rate * PATIENCE / len(FIRST)) + 1))

    async def at(self, address: str) -> dict[str, Any] | None:
        """What there is to say of `address`, as domain.requests.Found.seen; None where nothing answers."""
        try:
            place = (await names.of(self._lanes.keep).find_soon(address, 3.0))[0]
        except Unresolved:
            return None
        if doors.of(self._lanes.keep).why_not(place.address, 0, loopback=True):
            return None
        rtt = await self._ping(place.address)
        first = await self._knock(place.address, FIRST)
        if rtt is None and not first:
            snmp = await self._snmp(place)  # a switch may answer neither ping nor port
            if snmp is None:
                return None
            return self._told(address, place, None, [], {"snmp": snmp})
        ports = first + await self._knock(place.address, PORTS[len(FIRST) :])
        return self._told(address, place, rtt, ports, await self._greetings(place, ports))

    def _told(
        self, address: str, place: Place, rtt: float | None, ports: list[int], more: dict[str, Any]
    ) -> dict[str, Any]:
        watched = self._watched.get(address) or self._watched.get(place.address) or ""
        name = self._given.get(address, "")
        return {"name": name, "rtt": rtt, "ports": sorted(ports), "watched": watched, "path": [], "snmp": None} | more

    async def _greetings(self, place: Place, ports: list[int]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if 22 in ports:
            await self._turn()
            told["ssh"] = await greet.ssh_banner(place, 22, GREETING)
        for port, tls, key in ((80, False, "http"), (443, True, "https"), (8006, True, "https")):
            if port in ports and key not in told:
                await self._turn()
                page = await greet.web_page(place, port, GREETING, tls=tls)
                told[key] = {"title": page.title, "server": page.server, "names": list(page.names)}
        told["snmp"] = await self._snmp(place)
        return told

    async def _snmp(self, place: Place) -> dict[str, Any] | None:
        for id, secret in self._secrets:
            await self._turn()
            async with self._seats:
                said = await greet.snmp_system(place, secret, self._lanes.keep, PATIENCE)
            if said:
                return {**said, "credential": id}
        return None

    async def _ping(self, address: str) -> float | None:
        probe = catalogue()["icmp"]
        await self._turn()
        async with self._seats:
            options = fill(probe.options, {"count": 2, "gap": 0.2, "wait": 1.0})
            seen = (await self._lanes.look(probe, Target(address, options, None, PATIENCE + 1))).reading
        return next((one.value for one in seen.measures if one.name == "icmp.rtt.median"), None)

    async def _knock(self, address: str, ports: Iterable[int]) -> list[int]:
        probe = catalogue()["tcp"]

        async def one(port: int) -> int | None:
            await self._turn()
            async with self._seats:
                target = Target(address, fill(probe.options, {"port": port}), None, PATIENCE)
                seen = (await self._lanes.look(probe, target)).reading
            return None if seen.failure else port

        return [port for port in await asyncio.gather(*(one(port) for port in ports)) if port is not None]

    async def _turn(self) -> None:
        await asyncio.sleep(self._bucket.wait())


async def _all(search: Search, reports: Reports, addresses: list[tuple[int, str]], ways: Ways | None) -> None:
    """Every address, so many beside each other as the rate keeps busy, until all are done or somebody says stop."""
    waiting = iter(addresses)
    resolver = ThreadPoolExecutor(2, thread_name_prefix="names")

    async def worker() -> None:
        for place, address in waiting:
            seen = await search.at(address)
            if seen is not None:
                reports.put(place, address, dict(seen))
                if not seen["name"]:
                    seen["name"] = await _called(resolver, address)
                if ways is not None and (not seen["watched"] or len(addresses) == 1):
                    seen["path"] = await ways.to(address)
                reports.put(place, address, seen)
            reports.looked += 1

    work = [asyncio.create_task(worker()) for _ in range(search.beside(len(addresses)))]
    try:
        while pending := [task for task in work if not task.done()]:
            await asyncio.wait(pending, timeout=FLUSH)
            if ways is not None and ways.blind:
                reports.note = reports.note or BLIND
            await reports.flush()
            if reports.stopped:
                return
        for task in work:
            task.result()
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        resolver.shutdown(wait=False, cancel_futures=True)


async def _called(threads: ThreadPoolExecutor, address: str) -> str:
    """The name the resolver has for an address (PTR), cleaned; "" where it has none or takes too long."""
    try:
        async with asyncio.timeout(2.0):
            found = await asyncio.get_running_loop().run_in_executor(threads, _pointer, address)
    except (TimeoutError, OSError):
        return ""
    return clean(found, 100)


def _pointer(address: str) -> str:
    name = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]
    return "" if name == address else name.rstrip(".").lower()


def _trace(address: str) -> list[str]:
    hops = icmplib.traceroute(address, count=1, interval=0.02, timeout=HOP_PATIENCE, max_hops=HOPS)
    return [str(hop.address) for hop in hops if hop.address != address]
