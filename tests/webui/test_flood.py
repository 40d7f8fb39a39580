"""A flood of guesses: how many passwords are computed, who is held up by it, and what is on record."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain import clock
from domain.audit import Audit
from domain.inventory import Person
from tests.webui.cast import Visitor
from webui import passwords, throttle


class Counting(PasswordHasher):
    """The hasher, quick, and counting what it computes by the hash it compares with."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.computed: Counter[str] = Counter()

    def verify(self, hash: str, password: str) -> bool:  # type: ignore[override]
        self.computed[hash] += 1
        return bool(super().verify(hash, password))


class Ticking:
    """Ten minutes, spread over the tries of a test."""

    def __init__(self, step: float) -> None:
        self.moment, self._step = clock.now(), timedelta(seconds=step)

    def __call__(self) -> datetime:
        return self.moment

    def tick(self) -> None:
        self.moment += self._step


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    hasher = Counting()
    monkeypatch.setattr(passwords, "_hasher", hasher)
    passwords._nobody.cache_clear()
    yield hasher
    passwords._nobody.cache_clear()


TRIES, SOURCES = 3000, 50


def flood(app: Flask, names: list[str], clock: Ticking) -> Counter[int]:
    """Guesses from fifty sources at once for ten minutes; gives how often which answer came."""
    client = app.test_client()
    token = re.search(r'name="csrf" value="([^"]+)"', client.get("/login", base_url="http://localhost").text)
    assert token
    seen: Counter[int] = Counter()
    for number in range(TRIES):
        answer = client.post(
            "/login",
            base_url="http://localhost",
            data={"login": names[number % len(names)], "password": f"guess {number}", "csrf": token[1]},
            environ_overrides={"REMOTE_ADDR": f"192.0.2.{number % SOURCES + 1}"},
        )
        seen[answer.status_code] += 1
        clock.tick()
    return seen


def test_one_account_is_tried_at_most_fifty_times_in_ten_minutes_and_its_owner_comes_in(
    app: Flask, rina: Visitor, person: Person, session: Session, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    rina.post("/logout", {}, page="/")
    ticking = Ticking(600 / TRIES)
    monkeypatch.setattr(throttle, "now", ticking)
    counting.computed.clear()
    seen = flood(app, ["rina"], ticking)
    assert set(seen) == {422, 429}
    assert 5 <= counting.computed[person.password_hash] <= 50
    assert rina.login("rina").status_code == 303, "a browser that was hers is never shut out"
    rows = session.scalar(select(func.count()).select_from(Audit).where(Audit.what == "login.failed"))
    assert rows is not None and 1 <= rows <= 11, "one an account and minute"


def test_a_thousand_accounts_from_fifty_sources_cost_few_hashes_and_few_rows(
    app: Flask, person: Person, session: Session, counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = [counting.hash(f"{n}") for n in range(3)]
    session.add_all(Person(login=f"p{n}", name="P", password_hash=hashed[n], role="none") for n in range(3))
    session.commit()
    ticking = Ticking(600 / TRIES)
    monkeypatch.setattr(throttle, "now", ticking)
    counting.computed.clear()
    flood(app, [f"p{n}" for n in range(1000)], ticking)
    assert all(counting.computed[one] <= 50 for one in hashed)
    assert sum(counting.computed.values()) <= SOURCES * 30
    rows = session.scalar(select(func.count()).select_from(Audit).where(Audit.what == "login.failed"))
    assert rows is not None and rows <= SOURCES + 3, "names nobody has: one a source and minute, on the real clock"


def test_somebody_nobody_knows_costs_the_same_work(
    app: Flask, stranger: Visitor, person: Person, counting: Counting
) -> None:
    person_hash = passwords._nobody()
    stranger.login("nobody at all", "something")
    stranger.login("somebody else", "something")
    assert counting.computed[person_hash] == 2
    stranger.login("rina", "something")
    assert counting.computed.total() == 3


def test_the_lane_of_those_who_failed_turns_away_instead_of_queueing(counting: Counting) -> None:
    crowd = passwords.Crowd(waiting=1)
    inside, go = threading.Event(), threading.Event()

    def sit() -> None:
        with crowd:
            inside.set()
            go.wait(10)

    first = threading.Thread(target=sit)
    first.start()
    assert inside.wait(10)
    second = threading.Thread(target=sit)
    second.start()
    while crowd._free:
        pass
    with pytest.raises(passwords.Busy), crowd:
        pass
    go.set()
    first.join(10)
    second.join(10)
    with crowd:
        pass
