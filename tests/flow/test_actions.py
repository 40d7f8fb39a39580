"""What was agreed to is carried out on a real machine, once, and proven; whatever dies in between, it is not done again."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import vault
from config.vault import Opener
from domain.actions import Runbook
from domain.approving import digest
from domain.inventory import HostKey
from poller.actions import Actions, Patience, ours
from tests.flow.contest import NGINX, STAGES, agreed, kill, seal
from tests.flow.court import Court
from tests.flow.machine import Machine, machine
from tests.installation import until

QUICK = Patience(restart=20, service=5, checks=0, pause=0.2)


@pytest.fixture
def there() -> Iterator[Machine]:
    with machine("nginx.service") as made:
        made.systemctl("start", "nginx.service")
        yield made


@pytest.fixture
def court(database_url: str, there: Machine, place: Path) -> Iterator[Court]:
    made = Court(database_url, there.address, there.port)
    vault.create(place / "vault.key", place / "vault.pub")
    seal(made, place, there.key)
    with made.owner() as session:
        session.add(HostKey(host_id=made.host, port=22, key=there.host_key, fingerprint="SHA256:x", state="pinned"))
        session.commit()
    yield made
    made.close()


def hands(court: Court, place: Path) -> Actions:
    """The poller's part."""
    opener: Opener = vault.opener(place / "vault.key")
    return Actions(court.poller_sessions, opener, None, lambda host: None, QUICK)


def serve(actions: Actions) -> None:
    """Take up everything, and wait for its end."""

    async def work() -> None:
        await actions.serve()
        await actions.idle()

    asyncio.run(work())


def codes(court: Court, request: int) -> list[str]:
    return [
        row["code"] for row in court.ask_database("select code from step where request_id = %s order by id", request)
    ]


def test_a_service_is_restarted_and_it_is_shown(court: Court, there: Machine, place: Path) -> None:
    before = there.pid("nginx.service")
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    found = court.request(request)
    assert (found.state, found.outcome["before"]) == ("done", f"active {before}"), found.outcome
    assert there.pid("nginx.service") not in (None, before)
    assert there.sudo == ["/bin/systemctl restart -- nginx.service"]
    assert codes(court, request)[3:] == ["begun", "looked", "sent", "taken", "proof", "done"]


@pytest.mark.parametrize(("verb", "kind"), [("start", "service.stop"), ("stop", "service.start")])
def test_a_service_is_stopped_and_started(court: Court, there: Machine, place: Path, verb: str, kind: str) -> None:
    there.systemctl(verb, "nginx.service")
    request = agreed(court, kind=kind, params={"service": "nginx.service"})
    serve(hands(court, place))
    assert court.request(request).state == "done"
    assert (there.pid("nginx.service") is None) == (kind == "service.stop")


def test_a_machine_is_restarted_and_comes_back_as_another_start(court: Court, there: Machine, place: Path) -> None:
    request = agreed(court)

    def pull() -> None:
        until(lambda: there.going)
        there.fall()
        time.sleep(1)
        there.start_anew()
        there.rise()

    helper = threading.Thread(target=pull)
    helper.start()
    serve(hands(court, place))
    helper.join()
    found = court.request(request)
    assert found.state == "done", found.outcome
    assert found.outcome["before"] != found.outcome["after"]
    assert there.sudo == ["/sbin/shutdown -r +1 Pantau"]
    windows = court.ask_database("select host_id, made_by from maintenance_window")
    assert windows == [{"host_id": court.host, "made_by": court.id["pic"]}]


def test_a_machine_that_does_not_come_back_is_not_told_as_done(court: Court, there: Machine, place: Path) -> None:
    request = agreed(court)
    actions = hands(court, place)
    actions._patience = Patience(restart=1, service=1, checks=0, pause=0.2)
    serve(actions)
    assert court.request(request).state == "unknown"


def test_who_stops_waiting_for_the_proof_does_not_call_it_done(court: Court, there: Machine, place: Path) -> None:
    request, actions = agreed(court), hands(court, place)

    async def work() -> None:
        await actions.serve()
        await asyncio.to_thread(until, lambda: there.going)
        actions.close()
        await actions.idle()

    asyncio.run(work())
    found = court.request(request)
    assert (found.state, found.outcome["code"]) == ("unknown", "cut_off")


def test_a_machine_deleted_meanwhile_takes_its_request_with_it(court: Court, there: Machine, place: Path) -> None:
    request, actions = agreed(court), hands(court, place)

    async def work() -> None:
        await actions.serve()
        await asyncio.to_thread(until, lambda: there.going)
        court.ask_database("delete from host where id = %s", court.host)
        actions.close()
        await actions.idle()

    asyncio.run(work())
    assert court.ask_database("select id from request where id = %s", request) == []


def test_a_line_that_is_cut_by_the_order_itself_is_not_called_a_failure(
    court: Court, there: Machine, place: Path
) -> None:
    request, actions = agreed(court, **NGINX), hands(court, place)
    actions._patience = Patience(restart=1, service=2, checks=0, pause=0.2)

    def cut() -> None:
        until(lambda: there.sudo)
        there.fall()

    helper = threading.Thread(target=cut)
    helper.start()
    serve(actions)
    helper.join()
    assert court.request(request).state in ("unknown", "done"), court.request(request).outcome


def test_a_machine_that_was_restarted_meanwhile_is_left_alone(court: Court, there: Machine, place: Path) -> None:
    request = agreed(court, boot="00000000-0000-4000-8000-000000000000")
    serve(hands(court, place))
    found = court.request(request)
    assert (found.state, found.outcome["code"]) == ("cancelled", "rebooted")
    assert there.sudo == []


def test_a_service_that_fails_is_told_in_the_machines_words(court: Court, there: Machine, place: Path) -> None:
    (there.place / "nginx.service.broken").touch()
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    found = court.request(request)
    assert found.state == "failed"
    assert "Job for nginx.service failed." in found.outcome["text"]


def test_what_the_machine_was_not_told_to_allow_is_refused_there(court: Court, there: Machine, place: Path) -> None:
    there.allow(())
    request = agreed(court, **NGINX)
    before = there.pid("nginx.service")
    serve(hands(court, place))
    assert court.request(request).state == "failed"
    assert "not allowed" in court.request(request).outcome["text"]
    assert there.pid("nginx.service") == before


def test_a_machine_that_shows_another_key_hears_nothing_of_the_login(court: Court, there: Machine, place: Path) -> None:
    court.ask_database("update host_key set key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrBNNpHDLSFvSnT4cG0LOlcmBUzhFBBxZDhLYVfhTjM'")  # fmt: skip
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    assert court.request(request).state == "failed"
    assert there.sudo == []


def test_without_a_trusted_key_nothing_is_sent(court: Court, there: Machine, place: Path) -> None:
    court.ask_database("delete from host_key")
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    assert "No host key" in court.request(request).outcome["text"]


def test_a_machine_that_is_away_is_a_failure_and_nothing_was_sent(court: Court, there: Machine, place: Path) -> None:
    there.fall()
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    found = court.request(request)
    assert (found.state, found.sent_at) == ("failed", None)


def test_the_machine_pantau_runs_on_is_never_touched(court: Court, there: Machine, place: Path) -> None:
    assert ours("127.0.0.1") and ours("localhost") and ours("::1")
    assert not ours(there.address)
    court.ask_database("update host set address = '127.0.0.1'")
    request = agreed(court, **NGINX)
    serve(hands(court, place))
    assert court.request(request).outcome["code"] == "ourselves"


def test_a_runbook_gets_its_parameters_as_words(court: Court, there: Machine, place: Path) -> None:
    court.ask_database(
        "insert into runbook (name, script, parameters) values ('Say', 'echo \"$# <$1> <$2>\"', %s)",
        json.dumps([{"name": "queue", "kind": "choice", "choices": ["mail"]}, {"name": "days", "kind": "number", "low": 1, "high": 9}]),
    )  # fmt: skip
    with court.owner() as session:
        book = session.query(Runbook).one()
        book.reviewed = digest(book)
        session.commit()
        number = book.id
    request = agreed(court, kind="runbook.run", params={"runbook": number, "values": {"queue": "mail", "days": "3"}})
    serve(hands(court, place))
    assert court.request(request).state == "done"
    said = court.ask_database("select detail from step where code = 'said'")
    assert said[0]["detail"]["text"] == "2 <mail> <3>"


def test_four_at_once_and_each_once(court: Court, there: Machine, place: Path) -> None:
    request = agreed(court, **NGINX)
    several = [hands(court, place) for _ in range(4)]

    async def work() -> None:
        await asyncio.gather(*(one.serve() for one in several))
        await asyncio.gather(*(one.idle() for one in several))

    asyncio.run(work())
    assert court.request(request).state == "done"
    assert len(there.sudo) == 1


@pytest.mark.timeout(300)
def test_killed_at_any_moment_nothing_is_done_twice(court: Court, there: Machine, place: Path) -> None:
    """Every kill at another moment between the claim and the proof; `python -m tests.flow.contest` has two hundred."""
    for turn in range(10):
        kill(court, there, place, turn, STAGES[turn % 5], turn % 2 * 0.05)
