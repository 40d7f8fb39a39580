"""A network looked through: real machines in a network namespace of loopback, rows as they are found, a bounded rate, stop."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from config import database
from config.vault import Opener
from domain.clock import Steady
from domain.health import Policy
from domain.inventory import Check, Host
from domain.requests import Discovery
from poller import discovery
from poller.discovery import Bucket, Discoveries
from poller.lanes import Lanes
from poller.plan import HostPlan, Plan, load
from tests.namespaces import Namespace
from tests.roles import as_role

ADDRESS = "127.0.9.1"


class Peers:
    """Listeners on loopback addresses, each answering with what it was given."""

    def __init__(self) -> None:
        self._lines: list[socket.socket] = []

    def listen(self, address: str, port: int, answer: bytes) -> None:
        """Whoever connects is told `answer`, and the line is closed."""
        line = socket.create_server((address, port))
        self._lines.append(line)

        def serve() -> None:
            while True:
                try:
                    peer, _ = line.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(2)
                    try:
                        if port != 22:
                            peer.recv(4096)
                        peer.sendall(answer)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        for line in self._lines:
            line.close()


@pytest.fixture
def peers() -> Iterator[Peers]:
    opened = Peers()
    yield opened
    opened.close()


class Office:
    """A poller's discovery desk on this test's database."""

    def __init__(self, url: str, engine: Engine) -> None:
        self.engine = engine
        self.sessions = database.sessions(engine)
        self.lanes = Lanes(8, Steady())
        self.plan = Plan({})
        self.desk = Discoveries(as_role(url, "poller"), self.sessions, Opener(bytes(32)), self.lanes, lambda: self.plan)

    def ask(self, addresses: list[str], rate: float = 1000, **more: Any) -> str:
        with self.sessions() as session:
            row = Discovery(id=str(uuid.uuid4()), addresses=addresses, rate=rate, trace=False, **more)
            session.add(row)
            session.commit()
            return row.id

    def found(self) -> dict[str, dict[str, Any]]:
        with self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(text("select address, seen from found"))}

    def row(self, id: str) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text("select * from discovery where id = :id"), {"id": id}).one()

    async def until_done(self, id: str, seconds: float = 40) -> Any:
        end = time.monotonic() + seconds
        self.desk.serve()
        while self.row(id).done_at is None:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        return self.row(id)


@pytest.fixture
async def office(database_url: str, engine: Engine) -> AsyncIterator[Office]:
    opened = Office(database_url, engine)
    yield opened
    opened.desk.close()
    await asyncio.sleep(0.1)
    opened.lanes.close()


async def test_what_answers_is_told_with_what_it_says_and_what_is_silent_is_not(office: Office, peers: Peers) -> None:
    peers.listen("127.0.9.2", 22, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    page = b"HTTP/1.0 200 OK\r\nServer: nginx\r\n\r\n<html><title>Gudang &amp; <b></title>"
    peers.listen("127.0.9.2", 80, page.replace(b" <b>", b" Kantor"))
    id = office.ask(["127.0.9.2", "127.0.9.3", "fd99::77", "169.254.169.254", "no-such-name.invalid"])
    row = await office.until_done(id)
    assert row.looked == 5
    found = office.found()
    assert "fd99::77" not in found
    assert "169.254.169.254" not in found
    seen = found["127.0.9.2"]
    assert {22, 80} <= set(seen["ports"])
    assert seen["ssh"] == "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    assert seen["http"] == {"title": "Gudang & Kantor", "server": "nginx", "names": []}


async def test_hostile_greetings_are_cut_cleaned_and_waited_for_no_longer_than_others(
    office: Office, peers: Peers
) -> None:
    peers.listen("127.0.9.4", 22, b"SSH-2.0-\x1b[31mevil\x00" + b"x" * 100_000)
    peers.listen("127.0.9.4", 80, b"HTTP/1.0 200 OK\r\n\r\n" + b"<title>" + b"A" * 2_000_000)
    peers.listen("127.0.9.4", 443, b"this is no TLS at all")
    await office.until_done(office.ask(["127.0.9.4"]))
    seen = office.found()["127.0.9.4"]
    assert seen["ssh"] == ""
    assert len(json.dumps(seen)) < 2000


async def test_a_machine_watched_already_is_marked_also_where_it_is_known_by_its_name(
    office: Office, peers: Peers, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers.listen("127.0.9.5", 22, b"SSH-2.0-x\r\n")
    session.add(Host(name="known", address="localhost", checks=[Check(kind="icmp", name="ping")]))
    session.add(Host(name="other", address="127.0.9.5", checks=[Check(kind="icmp", name="ping")]))
    session.commit()
    office.plan = load(office.sessions, Opener(bytes(32)), 60, 3)
    await office.until_done(office.ask(["127.0.9.5", "127.0.0.1"]))
    found = office.found()
    assert found["127.0.9.5"]["watched"] == "other"
    assert found["127.0.0.1"]["watched"] == "known"


async def test_it_stops_when_told_and_keeps_what_was_found(office: Office, engine: Engine) -> None:
    id = office.ask([f"fd99::{n}" for n in range(1, 250)], rate=5)
    office.desk.serve()
    await asyncio.sleep(1)
    with engine.begin() as connection:
        connection.execute(text("update discovery set stop_at = now()"))
    row = await office.until_done(id, 30)
    assert row.looked < 249


def test_the_bucket_lets_so_many_through_a_second_and_saves_up_no_more_than_a_moment() -> None:
    moment = [100.0]
    bucket = Bucket(10, lambda: moment[0])
    waits = [bucket.wait() for _ in range(20)]
    assert max(waits) == pytest.approx(2.0, abs=0.2)
    moment[0] += 3600
    assert sum(bucket.wait() == 0 for _ in range(20)) <= 2


async def test_a_discovery_whose_poller_died_is_taken_up_by_the_next_one(office: Office, engine: Engine) -> None:
    id = office.ask(["127.0.9.6"])
    with engine.begin() as connection:
        connection.execute(text("update discovery set beat_at = now() - interval '31 seconds'"))
    assert (await office.until_done(id)).looked == 1


async def test_where_the_way_cannot_be_traced_a_sentence_says_so(
    office: Office, peers: Peers, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(address: str) -> list[str]:
        raise discovery.icmplib.SocketPermissionError(False)

    monkeypatch.setattr(discovery, "_trace", forbidden)  # what an unprivileged poller meets
    peers.listen("127.0.9.7", 22, b"SSH-2.0-x\r\n")
    id = office.ask(["127.0.9.7", "127.0.9.8"])
    with engine.begin() as connection:
        connection.execute(text("update discovery set trace = true"))
    row = await office.until_done(id)
    assert "raw sockets" in row.note
    assert office.found()["127.0.9.7"]["path"] == []


async def test_the_way_to_a_watched_machine_is_traced_where_it_alone_is_asked_for(
    office: Office, peers: Peers, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_trace", lambda address: ["127.0.9.1"])
    host = HostPlan(1, "watched", "127.0.9.17", Policy(), ())
    office.plan = Plan({1: host})
    for address in ("127.0.9.17", "127.0.9.18"):
        peers.listen(address, 22, b"SSH-2.0-x\r\n")
    for addresses, path in ((["127.0.9.17"], ["127.0.9.1"]), (["127.0.9.17", "127.0.9.18"], [])):
        id = office.ask(addresses)
        with engine.begin() as connection:
            connection.execute(text("delete from found"))
            connection.execute(text("update discovery set trace = true"))
        await office.until_done(id)
        seen = office.found()["127.0.9.17"]
        assert (seen["watched"], seen["path"]) == ("watched", path)


def test_a_certificate_is_read_and_not_believed() -> None:
    from probes.greet import _unbelieving

    assert _unbelieving().verify_mode is ssl.CERT_NONE


@pytest.mark.root
def test_the_way_to_a_machine_behind_a_router_names_the_router_and_a_neighbour_has_none() -> None:
    here, router, there = Namespace(), Namespace(), Namespace()
    try:
        here.join(router, "10.88.1.1/24", "10.88.1.2/24")
        router.join(there, "10.88.2.1/24", "10.88.2.2/24")
        router.do("sysctl", "-qw", "net.ipv4.ip_forward=1")
        here.do("ip", "route", "add", "10.88.2.0/24", "via", "10.88.1.2")
        there.do("ip", "route", "add", "default", "via", "10.88.2.1")
        assert here.inside(lambda: discovery._trace("10.88.2.2")) == ["10.88.1.2"]
        assert here.inside(lambda: discovery._trace("10.88.1.2")) == []
    finally:
        for namespace in (here, router, there):
            namespace.close()
