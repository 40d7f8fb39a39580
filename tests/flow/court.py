"""A division with its people and a machine that may be restarted; sessions as the web has them and as the poller has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row
from sqlalchemy import select
from sqlalchemy.orm import Session

from config import database
from domain import approving, audit
from domain.actions import ActionRule, HostService, Request
from domain.inventory import Check, Credential, Division, Host, Membership, Person
from tests.roles import as_role

PEOPLE = {
    "pic": ("none", "pic"),
    "one": ("none", "approver"),
    "two": ("none", "approver"),
    "boss": ("approver", None),
    "admin": ("admin", None),
    "operator": ("none", "operator"),
    "staff": ("none", "staff"),
}


class Court:
    """Everybody by their login, and `act`: what one of them does, in a transaction of their own."""

    def __init__(self, url: str, address: str = "10.9.8.7", port: int = 22) -> None:
        self.url, self.address, self.port = url, address, port
        self._owner = database.engine(url, size=2)
        self.web = database.engine(as_role(url, "web"), size=16)
        self.poller = database.engine(as_role(url, "poller"), size=4)
        audit.attend(maker := database.sessions(self.web), lambda: audit.Actor(None, "", "web"))
        self._web, self.poller_sessions = maker, database.sessions(self.poller)
        with self.owner() as session:
            home, away = Division(name="Finance"), Division(name="Sales")
            login = Credential(name="restarts", kind="password", sealed=b"", seal_id="1/x")
            session.add_all([home, away, login])
            session.flush()
            self.home, self.away = home.id, away.id
            for name, (role, local) in PEOPLE.items():
                one = Person(login=name, name=name.title(), password_hash="", role=role)
                session.add(one)
                session.flush()
                if local:
                    session.add(Membership(person_id=one.id, division_id=home.id, role=local))
            self.host = self._machine(session, "till", login.id).id
            self.login = login.id
            session.commit()
            self.id = {one.login: one.id for one in session.scalars(select(Person))}

    def _machine(self, session: Session, name: str, login: int) -> Host:
        host = Host(name=name, address=self.address, division_id=self.home, action_credential_id=login)
        session.add(host)
        session.flush()
        session.add(Check(host_id=host.id, kind="ssh", name="SSH", options={"port": self.port}))
        session.add(HostService(host_id=host.id, name="nginx.service"))
        return host

    def machine(self, name: str) -> int:
        """One more machine of the division."""
        with self.owner() as session:
            id = self._machine(session, name, self.login).id
            session.commit()
            return id

    @contextmanager
    def owner(self) -> Iterator[Session]:
        """A session that may do everything; not committed."""
        with Session(self._owner, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def as_person(self, name: str) -> Iterator[tuple[Session, Person]]:
        """A session of the web, in which PostgreSQL keeps divisions apart for this person; committed at the end."""
        with self._web() as session:
            session.connection().exec_driver_sql("select set_config('pantau.person', %s, true)", (str(self.id[name]),))
            someone = session.get(Person, self.id[name])
            assert someone is not None
            yield session, someone
            session.commit()

    @contextmanager
    def as_poller(self) -> Iterator[Session]:
        """A session of the poller, committed at the end."""
        with self.poller_sessions() as session:
            yield session
            session.commit()

    def ask(self, name: str = "pic", kind: str = "host.restart", host: int | None = None, **more: Any) -> int:
        """Somebody asks for something; the request's id."""
        more.setdefault("params", {})
        more.setdefault("reason", "It hangs.")
        with self.as_person(name) as (session, someone):
            machine = session.get(Host, host or self.host)
            assert machine is not None
            params = more.pop("params")
            return approving.ask(session, someone, machine, kind, params, **more).id

    def vote(self, name: str, request: int, *, agrees: bool = True, reason: str = "No.") -> str:
        """Somebody agrees or refuses; the request's state afterwards."""
        with self.as_person(name) as (session, someone):
            return approving.vote(session, request, someone, agrees=agrees, reason=reason).state

    def cancel(self, name: str, request: int) -> str:
        """Somebody takes it back."""
        with self.as_person(name) as (session, someone):
            return approving.cancel(session, request, someone).state

    def claim(self, run: str = "now") -> int | None:
        """The poller takes the next."""
        with self.as_poller() as session:
            found = approving.claim(session, run)
            return found.id if found else None

    def request(self, id: int) -> Request:
        """A request as it is."""
        with self.owner() as session:
            found = session.get(Request, id)
            assert found is not None
            return found

    def rule(self, **more: Any) -> None:
        """A rule that comes first."""
        with self.owner() as session:
            session.add(ActionRule(position=0, name="first", **more))
            session.commit()

    def ask_database(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of a query by the owner, committed."""
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def later(self, request: int, **ago: float) -> None:
        """Let time pass for a request."""
        moment = timedelta(**ago)
        self.ask_database(
            "update request set made_at = made_at - %s, expires_at = expires_at - %s, approved_at = approved_at - %s,"
            " sent_at = sent_at - %s where id = %s",
            moment, moment, moment, moment, request,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the database."""
        for engine in (self._owner, self.web, self.poller):
            engine.dispose()
