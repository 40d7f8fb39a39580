"""What was agreed to is carried out on a Windows machine by its own methods, once, and proven; whatever goes wrong in
between, nothing is sent twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import vault
from domain.inventory import HostKey
from poller.actions import Actions, Patience
from probes.winrm.line import PIN, fingerprint
from tests.flow.contest import agreed, kill_at
from tests.flow.court import Court
from tests.flow.test_actions import codes, serve
from tests.flow.yonder import Yonder, yonder
from tests.installation import until
from tests.probes.windows import Service, Windows
from tests.probes.wsman import PASSWORDS, Certificate, Listener, listening

USER = "pantau-act"
QUICK = Patience(restart=30, service=5, stop=5, checks=0, pause=0.2, refused=0.2)
SPOOLER = {"params": {"service": "Spooler"}}


@pytest.fixture(scope="module")
def there() -> Iterator[Yonder]:
    with yonder() as made:
        yield made


@pytest.fixture
def windows(there: Yonder) -> Iterator[Listener]:
    machine = Windows(stopped=(), services={"Spooler": Service(), "MSSQL$SHOP": Service(process=900)})
    users = {USER: PASSWORDS["pantau-read"]}
    with listening(machine, users=users, ears=there.ears(5985)) as made:
        yield made


@pytest.fixture
def court(database_url: str, there: Yonder, place: Path) -> Iterator[Court]:
    made = Court(database_url, there.address)
    vault.create(place / "vault.key", place / "vault.pub")
    secret = json.dumps({"password": PASSWORDS["pantau-read"]}).encode()
    where = vault.place("credential", made.login, f"{made.login}/x")
    made.ask_database(
        "update credential set username = %s, seal_id = %s, sealed = %s where id = %s",
        USER, f"{made.login}/x", vault.sealer(place / "vault.pub").seal(secret, where), made.login,
    )  # fmt: skip
    made.ask_database("update host_check set kind = 'winrm', options = '{}'")
    made.ask_database("update host_service set name = 'Spooler'")
    yield made
    made.close()


def hands(court: Court, place: Path, patience: Patience = QUICK) -> Actions:
    return Actions(court.poller_sessions, vault.opener(place / "vault.key"), None, lambda host: None, patience)


def done(windows: Listener) -> list[str]:
    return [method for method, _ in windows.machine.done]


def ended(court: Court, request: int) -> tuple[str, str]:
    """State, and what was said of it."""
    found = court.request(request)
    return found.state, found.outcome.get("text") or found.outcome.get("code", "")


def boot(windows: Listener) -> str:
    """The start of the machine as its look would keep it."""
    rows = windows.machine.query("root/cimv2", "Win32_OperatingSystem")
    assert rows
    return str(rows[0]["LastBootUpTime"].isoformat(timespec="seconds"))


def test_a_machine_is_restarted_and_comes_back_as_another_start(court: Court, windows: Listener, place: Path) -> None:
    court.ask_database("update person set name = E'One <&> \"two\"\\n\\u202eevil' where login = 'one'")
    request = agreed(court, boot=boot(windows))
    serve(hands(court, place))
    assert ended(court, request)[0] == "done", ended(court, request)
    found = court.request(request)
    assert found.outcome["before"] < found.outcome["after"]
    assert codes(court, request)[3:] == ["begun", "looked", "window", "sent", "taken", "awaited", "proof", "done"]
    [(method, given)] = windows.machine.done
    assert method == "win32shutdowntracker"
    assert {**given, "Comment": ""} == {"Timeout": "30", "Comment": "", "ReasonCode": str(0x80000000), "Flags": "2"}
    assert given["Comment"] == f'Pantau, request {request}, agreed by One <&> "two" \ufffdevil, Two'
    assert all(entry.sealed for entry in windows.asked("Win32ShutdownTracker")), "nobody on the way reads it"
    assert not windows.asked("clear")


def test_a_service_is_stopped_seen_stopped_and_started(court: Court, windows: Listener, place: Path) -> None:
    windows.machine.services["Spooler"].takes = 0.4
    request = agreed(court, kind="service.restart", boot=boot(windows), **SPOOLER)
    serve(hands(court, place))
    assert ended(court, request)[0] == "done", ended(court, request)
    assert done(windows) == ["stopservice", "startservice"]
    assert codes(court, request)[3:] == [
        "begun", "looked", "sent_stop", "taken", "stopping", "stopped", "sent_start", "taken", "proof", "done",
    ]  # fmt: skip
    assert court.request(request).outcome == {"before": "Running 1200", "after": "Running 1207"}


def test_stopping_starting_and_a_name_with_a_dollar(court: Court, windows: Listener, place: Path) -> None:
    court.ask_database("update host_service set name = 'MSSQL$SHOP'")
    for kind, method in (("service.stop", "stopservice"), ("service.start", "startservice")):
        request = agreed(court, kind=kind, params={"service": "MSSQL$SHOP"})
        serve(hands(court, place))
        assert ended(court, request)[0] == "done", ended(court, request)
        assert windows.machine.done[-1] == (method, {"name": "MSSQL$SHOP"})
    request = agreed(court, kind="service.restart", params={"service": "MSSQL$SHOP"})
    windows.machine.stand("MSSQL$SHOP").state = "Stopped"  # type: ignore[union-attr]
    serve(hands(court, place))
    assert ended(court, request)[0] == "done"
    assert done(windows)[2:] == ["startservice"], "what stands still is not stopped first"


REFUSALS = (
    ("host.restart", 1314, "lacks the right to shut the machine down"),
    ("host.restart", 1190, "a restart of the machine is waiting already"),
    ("host.restart", 4711, "did not do it (4711): it gave no other reason"),
    ("service.stop", 2, "may not do this to this service"),
    ("service.stop", 3, "other services that run need this one"),
    ("service.stop", 5, "cannot take an order now"),
    ("service.start", 10, "runs already"),
    ("service.start", 14, "is disabled"),
)


def test_what_the_machine_answers_instead_is_told_in_words(court: Court, windows: Listener, place: Path) -> None:
    for kind, number, words in REFUSALS:
        windows.machine.refuses = number
        service = windows.machine.services["Spooler"]
        service.state = "Stopped" if kind == "service.start" else "Running"
        service.refuses = {"stopservice": number, "startservice": number}
        request = agreed(court, kind=kind, **({} if kind == "host.restart" else SPOOLER))
        before = len(done(windows))
        serve(hands(court, place))
        state, text = ended(court, request)
        assert (state, words in text) == ("failed", True), text
        assert len(done(windows)) == before + 1
        court.later(request, minutes=20)


def test_a_service_that_stopped_and_does_not_start_is_told_as_that(
    court: Court, windows: Listener, place: Path
) -> None:
    windows.machine.services["Spooler"].refuses = {"startservice": 15}
    request = agreed(court, kind="service.restart", **SPOOLER)
    serve(hands(court, place))
    state, text = ended(court, request)
    assert state == "failed"
    assert "Spooler was stopped, and did not start again." in text
    assert "its own account or password is wrong" in text
    assert done(windows) == ["stopservice", "startservice"]


def test_a_service_that_does_not_stop_in_time_is_not_started_again(
    court: Court, windows: Listener, place: Path
) -> None:
    windows.machine.services["Spooler"].takes = 1000.0
    request = agreed(court, kind="service.restart", **SPOOLER)
    serve(hands(court, place, Patience(service=1, stop=1, checks=0, pause=0.2)))
    assert ended(court, request) == ("unknown", "not_stopped")
    assert done(windows) == ["stopservice"]


LOST = ["close", "reset", "truncated", "garbage", "relates", "unsealed", "status:503", "status:401", "timeout"]


def test_what_is_lost_after_it_was_sent_is_unknown_and_not_sent_again(
    court: Court, windows: Listener, place: Path
) -> None:
    """The machine did it, and its answer never came, or was none."""
    for wrong in LOST:
        windows.machine.services["Spooler"] = Service()
        windows.troubles["StopService"] = wrong
        windows.log.clear()
        request = agreed(court, kind="service.restart", **SPOOLER)
        serve(hands(court, place))
        state, text = ended(court, request)
        assert state == "unknown", (wrong, text)
        assert "may have stopped Spooler, which is not started again" in text
        assert len(windows.asked("StopService")) == 1, wrong


def test_a_machine_without_the_right_to_its_methods_says_so(court: Court, windows: Listener, place: Path) -> None:
    windows.troubles["Win32ShutdownTracker"] = "denied"
    request = agreed(court)
    serve(hands(court, place))
    state, text = ended(court, request)
    assert state == "failed"
    assert "may not do this there" in text


def test_what_is_lost_before_it_was_sent_did_nothing(court: Court, windows: Listener, place: Path) -> None:
    windows.troubles["Win32_OperatingSystem"] = "close"
    request = agreed(court)
    serve(hands(court, place))
    assert (court.request(request).state, court.request(request).sent_at) == ("failed", None)
    windows.troubles.clear()
    court.later(request, minutes=20)
    court.ask_database("update credential set username = 'somebody'")
    request = agreed(court, kind="service.stop", **SPOOLER)
    serve(hands(court, place))
    assert "refuses 'somebody' with this password" in ended(court, request)[1]
    assert not done(windows)


def test_a_machine_that_was_restarted_meanwhile_is_left_alone(court: Court, windows: Listener, place: Path) -> None:
    request = agreed(court, kind="service.stop", boot=boot(windows), **SPOOLER)
    windows.machine.reboot()
    serve(hands(court, place))
    assert ended(court, request) == ("cancelled", "rebooted")
    assert not done(windows)


def test_another_way_than_the_one_agreed_to_is_not_gone_and_basic_never_leaves_over_http(
    court: Court, there: Yonder, windows: Listener, place: Path
) -> None:
    request, actions = agreed(court, kind="service.stop", **SPOOLER), hands(court, place)
    assert court.claim(actions.run) == request
    court.ask_database("update host set address = '192.0.2.7'")
    actions.carry_out(request)
    assert ended(court, request) == ("cancelled", "changed"), "changed between the claim and the look"
    court.ask_database("update host set address = %s", there.address)
    request = agreed(court, kind="service.stop", **SPOOLER)
    court.ask_database('update host_check set options = \'{"login": "basic", "tls": "http"}\'')
    serve(hands(court, place))
    assert ended(court, request) == ("cancelled", "changed"), "another way than the one agreed to"
    request = agreed(court, kind="service.stop", **SPOOLER)
    serve(hands(court, place))
    assert "basic only over HTTPS" in ended(court, request)[1]
    assert not windows.log


def test_over_https_only_the_trusted_certificate_hears_of_the_login(
    court: Court, there: Yonder, place: Path, tmp_path: Path
) -> None:
    certificate = Certificate(tmp_path)
    users, ears = {USER: PASSWORDS["pantau-read"]}, there.ears(5986)
    pin = f"{PIN} {hashlib.sha256(certificate.der).hexdigest()}"
    court.ask_database("update host_check set options = '{\"port\": 5986}'")
    with listening(
        Windows(stopped=(), services={"Spooler": Service()}),
        users=users,
        ears=ears,
        certificate=certificate,
        binding=True,
    ) as listener:
        request = agreed(court, kind="service.stop", **SPOOLER)
        serve(hands(court, place))
        assert "No certificate of this machine is trusted yet" in ended(court, request)[1]
        for key, state in ((f"{PIN} {'0' * 64}", "failed"), (pin, "done")):
            with court.owner() as session:
                session.query(HostKey).delete()
                session.add(
                    HostKey(host_id=court.host, port=5986, key=key, fingerprint=fingerprint(key), state="pinned")
                )
                session.commit()
            request = agreed(court, kind="service.stop", **SPOOLER)
            assert not listener.asked("login"), "nothing was sent to it yet"
            serve(hands(court, place))
            assert ended(court, request)[0] == state, ended(court, request)
        assert done(listener) == ["stopservice"]


def test_the_login_is_not_tried_until_the_account_is_locked(court: Court, windows: Listener, place: Path) -> None:
    """While the proof is waited for the machine refuses the login, as one that is just starting may."""
    request = agreed(court)
    windows.grace = 1000.0

    async def work() -> None:
        actions = hands(court, place, Patience(restart=60, service=5, stop=5, checks=0, pause=0.2, refused=0.2))
        await actions.serve()
        await asyncio.to_thread(until, lambda: done(windows))
        windows.troubles["login"] = "denied"
        await actions.idle()

    asyncio.run(work())
    assert ended(court, request)[0] == "unknown"
    tried = {entry.line for entry in windows.asked("login refused")}
    assert len(tried) == 3, tried


@pytest.mark.timeout(300)
def test_killed_at_any_moment_no_order_leaves_twice(court: Court, windows: Listener, place: Path) -> None:
    """Kills between the claim and the proof, each at its own moment; the next poller ends what is left, and repeats nothing."""
    stop, start = "stopservice", "startservice"

    def asked(name: str) -> Callable[[int], object]:
        return lambda request: windows.asked(name)

    def told(code: str) -> Callable[[int], object]:
        return lambda request: code in codes(court, request)

    moments: list[tuple[str, Callable[[int], object], str, list[list[str]]]] = [
        ("service.restart", told("begun"), "", [[], [stop], [stop, start]]),
        ("service.restart", asked("Enumerate Win32_OperatingSystem"), "Win32_OperatingSystem", [[]]),
        ("service.restart", asked("Enumerate Win32_Service"), "", [[], [stop], [stop, start]]),
        ("service.restart", asked("StopService"), "StopService", [[stop]]),
        ("service.restart", told("stopping"), "", [[stop], [stop, start]]),
        ("service.restart", told("stopped"), "", [[stop], [stop, start]]),
        ("service.restart", asked("StartService"), "StartService", [[stop, start]]),
        ("service.restart", told("proof"), "", [[stop, start]]),
        ("host.restart", asked("Win32ShutdownTracker"), "Win32ShutdownTracker", [["win32shutdowntracker"]]),
        ("host.restart", told("awaited"), "", [["win32shutdowntracker"]]),
    ]
    for turn, (kind, moment, slow, possible) in enumerate(moments):
        host = court.machine(f"m{turn}")
        court.ask_database("update host_check set kind = 'winrm', options = '{}'")
        court.ask_database("update host_service set name = 'Spooler'")
        windows.machine.services["Spooler"] = Service(takes=0.5)
        windows.machine.done.clear()
        windows.log.clear()
        windows.troubles = {slow: "wait:5"} if slow else {}
        booted = windows.machine.booted
        request = kill_at(
            court, place, moment, hands(court, place), host=host, kind=kind,
            **({} if kind == "host.restart" else SPOOLER),
        )  # fmt: skip
        found, orders = court.request(request), done(windows)
        assert orders in possible, (turn, orders)
        if found.state == "failed":
            assert orders == [], "failed tells that nothing was sent"
        elif found.state == "unknown" and found.outcome["code"] == "cut_between":
            assert orders in ([], [stop])
        elif found.state == "unknown":
            assert found.outcome["code"] == "cut_off"
        else:
            assert found.state == "done"
        if slow and possible != [[]]:
            assert found.state == "unknown", (turn, found.state)
        if kind == "host.restart":
            until(lambda booted=booted: windows.machine.booted != booted and not windows.away.is_set())
