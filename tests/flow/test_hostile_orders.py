"""Whatever stands in a field of an action, a machine runs the commands that were meant, and the kernel there says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import vault
from domain.actions import HostService, Runbook
from domain.approving import Denied, digest
from domain.inventory import HostKey
from domain.reading import Secret
from probes.acting import WHOLE, NotDone, Order, Way
from probes.ssh import Options
from probes.ssh.act import hand
from tests.flow.contest import agreed, seal
from tests.flow.court import Court
from tests.flow.machine import Machine, machine
from tests.flow.test_actions import hands, serve

CANARY = "yellowbird"
"""A command of the machine. Where it ran, something said in a field was taken for a command."""
HOSTILE = (
    f"x\n{CANARY}\n", f"x\r{CANARY}", f"x\r\n{CANARY}", f"x\u2028{CANARY}", f"x\u2029{CANARY}", f"x\u0085{CANARY}", f"x\v{CANARY}",
    f"x\x00{CANARY}", f"$({CANARY})", f"`{CANARY}`", f"${{IFS}}{CANARY}", f"x;{CANARY}", f"x|{CANARY}", f"x&{CANARY}", f"x&&{CANARY}",
    f"x||{CANARY}", f"x>{CANARY}", f"<({CANARY})", f"';{CANARY};'", f'";{CANARY};"', f"\\\n{CANARY}", f"x #\n{CANARY}", f"--now {CANARY}",
    f"-H {CANARY}", f"../../../usr/bin/{CANARY}", f"*{CANARY}", f"x %0a{CANARY}", f"x\u202e{CANARY}", f"｛{CANARY}｝", f"!{CANARY}",
    f"x\x1b]0;{CANARY}\x07", CANARY + "y" * 10_240, f"$({CANARY})" * 1024,
)  # fmt: skip


@pytest.fixture(scope="module")
def there() -> Iterator[Machine]:
    with machine("nginx.service", accounted=True) as made:
        bird = made.place / "bin" / CANARY
        bird.write_text("#!/bin/sh\nexit 0\n")
        bird.chmod(0o755)
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


@pytest.fixture
def book(court: Court) -> int:
    """A runbook with a parameter of each kind."""
    return runbook(court, "Say", 'printf "%s\\n" "$@"')


def runbook(court: Court, name: str, script: str) -> int:
    kinds = [
        {"name": "queue", "kind": "choice", "choices": ["mail"]},
        {"name": "days", "kind": "number", "low": 1, "high": 9},
        {"name": "unit", "kind": "word"},
    ]
    with court.owner() as session:
        row = Runbook(name=name, script=script, parameters=kinds)
        session.add(row)
        session.flush()
        row.reviewed = digest(row)
        session.commit()
        return row.id


PLAIN = {"queue": "mail", "days": "3", "unit": "x"}


def fields(book: int, text: str) -> Iterator[dict[str, Any]]:
    """Every field of an order that reaches a command, with this in it."""
    yield {"kind": text}
    for verb in ("restart", "start", "stop"):
        yield {"kind": f"service.{verb}", "params": {"service": text}}
        yield {"kind": f"service.{verb}", "params": {"service": f"nginx.service{text}"}}
    for name in PLAIN:
        yield {"kind": "runbook.run", "params": {"runbook": book, "values": {**PLAIN, name: text}}}
        yield {"kind": "runbook.run", "params": {"runbook": book, "values": {**PLAIN, text: "x"}}}
    yield {"kind": "host.restart", "params": {"service": text}}


def test_it_is_refused_where_it_is_asked_for(court: Court, book: int) -> None:
    for text in HOSTILE:
        for order in fields(book, text):
            with pytest.raises(Denied):
                court.ask(**order)
    assert court.ask_database("select id from request") == []


def test_what_is_put_into_the_database_afterwards_is_not_carried_out(
    court: Court, there: Machine, place: Path, book: int
) -> None:
    """Somebody who can write rows changes an order that others agreed to, and even puts the name on the machine's list."""
    before, heard = len(there.sudo), there.ran.count(CANARY)
    for text in (one for one in HOSTILE if "\x00" not in one):
        with court.owner() as session:
            session.merge(HostService(host_id=court.host, name=text))
            session.commit()
        request = agreed(court, kind="service.start", params={"service": "nginx.service"})
        court.ask_database("update request set params = %s where id = %s", json.dumps({"service": text}), request)
        serve(hands(court, place))
        assert (court.request(request).state, court.request(request).sent_at) == ("cancelled", None)
    for name in PLAIN:
        request = agreed(court, kind="runbook.run", params={"runbook": book, "values": PLAIN})
        values = {**PLAIN, name: f"$({CANARY})"}
        court.ask_database(
            "update request set params = %s where id = %s", json.dumps({"runbook": book, "values": values}), request
        )
        serve(hands(court, place))
        assert court.request(request).state == "cancelled"
    assert len(there.sudo) == before
    assert there.ran.count(CANARY) == heard


def test_the_hand_at_the_machine_takes_no_such_word_either(court: Court, there: Machine) -> None:
    options = Options(there.port, (there.host_key,))
    way = Way("ssh", there.address, options, Secret("root", private_key=there.key))
    before, heard = len(there.sudo), there.ran.count(CANARY)
    with hand(way, 60) as held:
        for text in HOSTILE:
            for verb in ("restart", "start", "stop"):
                with pytest.raises(ValueError, match="no unit"):
                    held.send(Order(f"service.{verb}", text), WHOLE)
            with pytest.raises(ValueError, match="no unit"):
                held.unit(text)
            with pytest.raises(ValueError, match="not done"):
                held.send(Order(text), WHOLE)
            with pytest.raises(NotDone, match="no plain word"):
                held.script("true", ["mail", text])
    assert len(there.sudo) == before
    assert there.ran.count(CANARY) == heard


def test_a_reason_is_read_by_people_and_runs_nowhere(court: Court, there: Machine, place: Path, book: int) -> None:
    """Text of any kind may be the reason, within its length; beside it the very same command leaves as ever."""
    wild = [text for text in HOSTILE if len(text) < 1000 and "\x00" not in text]
    before, usual, heard = len(there.sudo), set[str](), len(there.ran)
    for turn, text in enumerate(("It hangs.", "It hangs.", *wild)):
        if turn == 2:
            usual = set(there.ran[heard:])
        request = agreed(
            court, kind="service.start", params={"service": "nginx.service"}, reason=text, client=f"{turn}{text}"[:60]
        )
        serve(hands(court, place))
        assert court.request(request).state == "done", court.request(request).outcome
    assert there.sudo[before:] == ["/bin/systemctl start -- nginx.service"] * (len(wild) + 2)
    assert "systemctl" in usual and CANARY not in usual
    assert set(there.ran[heard:]) <= usual, "another command ran than for a plain reason"


def test_the_account_would_tell(court: Court, there: Machine, place: Path) -> None:
    """The other way round: a script that does call it is seen to have called it."""
    heard, number = there.ran.count(CANARY), runbook(court, "Bird", f"{CANARY}\n")
    request = agreed(court, kind="runbook.run", params={"runbook": number, "values": PLAIN})
    serve(hands(court, place))
    assert court.request(request).state == "done", court.request(request).outcome
    assert there.ran.count(CANARY) == heard + 1
