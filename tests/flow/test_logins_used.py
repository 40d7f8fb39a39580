"""What the poller does with stored logins: where they are used, and what it never does with one that is not in order."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session, sessionmaker

from config import database, vault
from domain.audit import Audit
from domain.clock import Steady
from domain.inventory import Check, Credential, CredentialUse, Host, next_id
from poller.lanes import Lanes
from poller.plan import load
from poller.recorder import Recorder
from poller.round import Round, look_round
from poller.spool import Spool
from tests.probes.sshserver import Server, sshd


class Counting:
    """A machine that counts who knocks, and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.knocks = int(self._listener.getsockname()[1]), 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.knocks += 1
            line.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def peers() -> Iterator[tuple[Counting, Counting]]:
    pair = Counting(), Counting()
    yield pair
    for one in pair:
        one.close()


class House:
    """An inventory with a vault, and looks at it as the poller makes them."""

    def __init__(self, engine: Engine, session: Session, place: Path) -> None:
        self.place, self.session = place, session
        self.sessions: sessionmaker[Session] = database.sessions(engine)
        vault.create(place / "vault.key", place / "vault.pub")
        self.opener = vault.opener(place / "vault.key")

    def login(self, name: str, kind: str = "password", **content: str) -> Credential:
        id = next_id(self.session)
        seal_id = vault.new_place(id)
        sealed = vault.sealer(self.place / "vault.pub").seal(
            json.dumps(content).encode(), vault.place("credential", id, seal_id)
        )
        row = Credential(id=id, name=name, kind=kind, username="root", sealed=sealed, seal_id=seal_id)
        self.session.add(row)
        return row

    def machine(self, name: str, login: Credential | None, port: int, **more: Any) -> Host:
        host = Host(name=name, address="127.0.0.1", **more)
        host.checks.append(Check(kind="ssh", name="SSH", options={"port": port}, credential=login, deadline_s=10))
        self.session.add(host)
        self.session.commit()
        return host

    async def look(self) -> list[Round]:
        lanes = Lanes(4, Steady())
        try:
            plan = load(self.sessions, self.opener, 60, 3)
            return [
                await look_round(lanes, host, host.checks, lanes.moment(), down=False) for host in plan.hosts.values()
            ]
        finally:
            lanes.close()


@pytest.fixture
def house(engine: Engine, session: Session, place: Path) -> House:
    return House(engine, session, place)


@pytest.mark.parametrize("what", ["sealed = o.sealed", "sealed = o.sealed, seal_id = o.seal_id"])
async def test_swapped_secrets_are_an_error_and_no_machine_is_even_knocked_at(
    house: House, session: Session, peers: tuple[Counting, Counting], what: str
) -> None:
    for number, peer in enumerate(peers):
        house.machine(f"m{number}", house.login(f"c{number}", password=f"secret {number}"), peer.port)
    await house.look()
    before = [peer.knocks for peer in peers]
    assert all(before)
    session.execute(text(f"update credential c set {what} from credential o where o.id <> c.id"))
    session.commit()
    rounds = await house.look()
    assert [peer.knocks for peer in peers] == before
    for round in rounds:
        failed = round.looks[0].seen.reading.failure
        assert failed is not None
        assert "Enter the credential again" in failed.detail or "belongs to another row" in failed.detail


async def test_a_secret_that_does_not_open_is_a_sentence_and_not_a_dead_machine(
    house: House, session: Session, peers: tuple[Counting, Counting]
) -> None:
    house.machine("m", house.login("c", password="x"), peers[0].port)
    session.execute(text("update credential set sealed = set_byte(sealed, 60, (get_byte(sealed, 60) + 1) % 256)"))
    session.commit()
    (round,) = await house.look()
    failed = round.looks[0].seen.reading.failure
    assert failed is not None
    assert failed.detail.startswith("This check cannot be looked at: A stored secret does not open")
    assert round.outcome != "fail"
    assert peers[0].knocks == 0


@pytest.fixture
def server() -> Iterator[Server]:
    with sshd() as running:
        yield running


async def test_the_login_for_actions_is_never_opened_by_a_look(house: House, session: Session, server: Server) -> None:
    """Its box is broken on purpose: whoever opened it would have to say so."""
    watching = house.login("watching", kind="ssh_key", private_key=server.key)
    acting = house.login("acting", password="may restart")
    acting.sealed = b"\x02" + bytes(80)
    session.flush()
    house.machine("m", watching, server.port, action_credential_id=acting.id)
    opened: list[str] = []
    real = house.opener.open
    house.opener.open = lambda sealed, place: (opened.append(place), real(sealed, place))[1]  # type: ignore[method-assign]
    (round,) = await house.look()
    assert round.looks[0].seen.reading.failure is None
    assert opened == [f"credential:{watching.seal_id}"]


async def test_where_a_login_is_used_is_known_and_the_first_time_is_on_record(
    house: House, session: Session, server: Server, database_url: str
) -> None:
    login = house.login("pantau", kind="ssh_key", private_key=server.key)
    unused = house.login("unused", password="x")
    hosts = [house.machine(f"m{n}", login, server.port) for n in range(2)]
    recorder = Recorder(database_url, 1, Spool(house.place / "spool", 1 << 20), Steady())
    try:
        await recorder.open()
        recorder.reconcile(load(house.sessions, house.opener, 60, 3))
        for _ in range(2):
            for round in await house.look():
                recorder.add(round)
            await recorder.flush()
    finally:
        await recorder.close()
    session.rollback()
    uses = session.scalars(select(CredentialUse).order_by(CredentialUse.host_id)).all()
    assert [(use.credential_id, use.host_id) for use in uses] == [(login.id, host.id) for host in hosts]
    session.refresh(login)
    session.refresh(unused)
    assert login.last_used_at is not None
    assert unused.last_used_at is None
    told = session.scalars(select(Audit).where(Audit.what == "credential.first_use").order_by(Audit.id)).all()
    assert [(row.on, row.detail["machine"]) for row in told] == [(f"credential:{login.id}", f"m{n}") for n in range(2)]
