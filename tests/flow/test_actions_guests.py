"""A guest is restarted by its hypervisor, Proxmox VE or Hyper-V: asked for at the guest, bound to both, once, and proven."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from webpeers import Authority

from config import vault
from domain.approving import Denied
from domain.clock import now
from domain.inventory import Check, Credential, Host, host_parent
from domain.records import FactSeen
from poller.actions import Actions, Patience
from tests.flow.contest import agreed, kill_at
from tests.flow.court import Court
from tests.flow.test_actions import codes, serve
from tests.flow.yonder import Yonder, yonder
from tests.probes.proxmoxapi import TOKEN, Cluster, guest, node, serving
from tests.probes.windows import Guest, Windows
from tests.probes.wsman import PASSWORDS, Listener, listening

HOURS = 7200.0
GUID = "6A1F0C52-0000-4000-8000-000000000001"
QUICK = Patience(restart=30, service=5, stop=5, checks=0, pause=0.2, refused=0.2)


@pytest.fixture(scope="module")
def there() -> Iterator[Yonder]:
    with yonder() as made:
        yield made


@pytest.fixture
def court(database_url: str, place: Path) -> Iterator[Court]:
    """The machine "till" is a guest; nobody ever reaches it itself."""
    made = Court(database_url, "192.0.2.9")
    vault.create(place / "vault.key", place / "vault.pub")
    yield made
    made.close()


@dataclass
class Above:
    """A hypervisor and how it is asked for its guest."""

    id: int
    params: dict[str, Any]

    @property
    def order(self) -> dict[str, Any]:
        return {"kind": "vm.restart", "params": self.params}


def above(
    court: Court, there: Yonder, place: Path, kind: str, options: dict[str, Any], user: str, password: str,
    fact: tuple[str, str, str],
) -> Above:  # fmt: skip
    """A hypervisor in nobody's division that tells of "till" as its guest."""
    with court.owner() as session:
        login = Credential(name="hypervisor", kind="password", username=user, sealed=b"", seal_id="2/x")
        session.add(login)
        session.flush()
        where = vault.place("credential", login.id, "2/x")
        login.sealed = vault.sealer(place / "vault.pub").seal(json.dumps({"password": password}).encode(), where)
        host = Host(name="pve1", address=there.address, action_credential_id=login.id)
        session.add(host)
        session.flush()
        check = Check(host_id=host.id, kind=kind, name=kind, options=options)
        session.add(check)
        session.flush()
        name, part, value = fact
        session.add(FactSeen(check_id=check.id, name=name, part=part, host_id=host.id, value=value, since=now()))
        session.execute(insert(host_parent).values(host_id=court.host, parent_id=host.id))
        session.commit()
        return Above(host.id, {"hypervisor": host.id, "guest": part})


@contextmanager
def proxmox(court: Court, there: Yonder, place: Path) -> Iterator[tuple[Cluster, Above]]:
    context, pem = Authority(place).server(there.address, alone=True)
    cluster = Cluster(
        [node("pve1"), guest(101, "till"), guest(102, "other", "lxc")], began={"101": time.time() - HOURS}
    )
    manager = serving(cluster, context, there.address)
    peer = there.namespace.inside(manager.__enter__)
    told = ("proxmox.guest", "101 till", "virtual machine, running, on pve1")
    try:
        yield cluster, above(court, there, place, "proxmox", {"port": peer.port, "ca": pem}, *TOKEN, told)
    finally:
        manager.__exit__(None, None, None)


@contextmanager
def hyperv(court: Court, there: Yonder, place: Path) -> Iterator[tuple[Listener, Above]]:
    user, password = "pantau-act", PASSWORDS["pantau-read"]
    machine = Windows(vms={"till": Guest(GUID, time.time() - HOURS, takes=0.3)})
    with listening(machine, users={user: password}, ears=there.ears(5985)) as listener:
        told = ("hyperv.guest.state", "till", "running")
        yield listener, above(court, there, place, "winrm", {}, user, password, told)


def hands(court: Court, place: Path, patience: Patience = QUICK) -> Actions:
    return Actions(court.poller_sessions, vault.opener(place / "vault.key"), None, lambda host: None, patience)


def ended(court: Court, request: int) -> tuple[str, str]:
    """State, and what was said of it."""
    found = court.request(request)
    return found.state, found.outcome.get("text") or found.outcome.get("code", "")


def test_proxmox_restarts_a_guest_whose_people_do_not_see_it(court: Court, there: Yonder, place: Path) -> None:
    with proxmox(court, there, place) as (cluster, pve):
        cluster.takes = 1.5
        with court.as_person("pic") as (session, _):
            assert session.scalar(select(func.count()).select_from(Host)) == 1, "the hypervisor is not theirs to see"
        request = agreed(court, **pve.order)
        serve(hands(court, place))
        assert ended(court, request)[0] == "done", ended(court, request)
        assert cluster.ordered == [("/api2/json/nodes/pve1/qemu/101/status/reboot", b"timeout=60")]
        assert codes(court, request)[3:] == ["begun", "looked", "window", "sent", "taken", "awaited", "proof", "done"]
        found = court.request(request)
        assert found.outcome["before"] < found.outcome["after"]
        [window] = court.ask_database("select host_id from maintenance_window")
        assert window == {"host_id": court.host}


def test_what_proxmox_says_instead_is_told_and_what_is_lost_is_not_sent_again(
    court: Court, there: Yonder, place: Path
) -> None:
    cases: list[tuple[dict[str, Any], str, str, int]] = [
        ({"locked": {"101": "backup"}}, "failed", "busy with the guest 101 till (backup)", 0),
        ({"shut": ("nodes/pve1/qemu/101/status/reboot",)}, "failed", "VM.PowerMgmt", 0),
        ({"resources": [node("pve1"), guest(101, "till2")]}, "failed", "does not know a guest 101 till", 0),
        ({"began": {"101": time.time() + 1e6}}, "failed", "does not run", 0),
        ({"ends": "command failed: exit code 255"}, "failed", "exit code 255", 1),
        ({"ends": "VM quit/powerdown failed - got timeout"}, "unknown", "did not shut down in time", 1),
        ({"wrong": "500 VM is gone"}, "failed", "VM is gone", 1),
        ({"wrong": "596 Connection timed out"}, "unknown", "does not know what became of it (596)", 1),
        ({"wrong": "close"}, "unknown", "lost after the order had been sent", 1),
        ({"wrong": "garbage"}, "unknown", "lost after the order had been sent", 1),
    ]
    with proxmox(court, there, place) as (cluster, pve):
        usual = dict(vars(cluster))
        for changed, state, words, orders in cases:
            vars(cluster).update(
                {**usual, "began": {"101": time.time() - HOURS}, "ordered": [], "running": {}, **changed}
            )
            request = agreed(court, **pve.order)
            serve(hands(court, place))
            assert ended(court, request)[0] == state, (changed, ended(court, request))
            assert words in ended(court, request)[1], ended(court, request)
            assert len(cluster.ordered) == orders, changed
            court.later(request, minutes=20)
        vars(cluster).update({**usual, "ordered": []})
        court.ask_database("update credential set username = 'root@pam' where name = 'hypervisor'")
        request = agreed(court, **pve.order)
        serve(hands(court, place))
        assert "is no token" in ended(court, request)[1]
        assert not cluster.ordered


CHANGES = (
    ("update host set address = '192.0.2.77' where name = 'pve1'", "changed"),
    ("update host set address = '192.0.2.78' where name = 'till'", "changed"),
    ("update host set action_credential_id = (select id from credential where name = 'restarts') where name = 'pve1'", "changed"),
    ("update host_check set options = options || '{\"name\": \"elsewhere\"}' where kind = 'proxmox'", "changed"),
    ("delete from host_parent", "guest"),
)  # fmt: skip


@pytest.mark.parametrize(("change", "code"), CHANGES)
def test_an_agreement_is_bound_to_the_guest_and_to_its_hypervisor(
    court: Court, there: Yonder, place: Path, change: str, code: str
) -> None:
    told = ("proxmox.guest", "101 till", "virtual machine, running, on pve1")
    pve = above(court, there, place, "proxmox", {}, *TOKEN, told)
    request = agreed(court, **pve.order)
    court.ask_database(change)
    assert court.claim() is None
    assert ended(court, request) == ("cancelled", code)


def test_a_guest_that_was_started_since_and_our_own_are_left_alone(court: Court, there: Yonder, place: Path) -> None:
    with proxmox(court, there, place) as (cluster, pve):
        request = agreed(court, **pve.order)
        court.later(request, seconds=60)
        cluster.began["101"] = time.time() - 20
        serve(hands(court, place))
        assert ended(court, request) == ("cancelled", "rebooted")
        cluster.began["101"] = time.time() - HOURS
        check = court.ask_database("select id from host_check where host_id = %s", court.host)[0]["id"]
        court.ask_database("insert into fact values (%s, 'host.boot.id', '', %s, 'another', now())", check, court.host)
        request = agreed(court, boot="seen", **pve.order)
        serve(hands(court, place))
        assert ended(court, request) == ("cancelled", "rebooted")
        ours = socket.gethostname().partition(".")[0].upper()
        for change in (
            "update host set address = '127.0.0.1' where name = 'till'",
            f"update host set address = '192.0.2.9', name = '{ours}' where name = 'till'; update fact set part = '101 {ours}'",
        ):
            for one in change.split("; "):
                court.ask_database(one)
            params = {**pve.params, "guest": f"101 {ours}" if ours in change else "101 till"}
            request = agreed(court, kind="vm.restart", params=params)
            serve(hands(court, place))
            assert ended(court, request) == ("cancelled", "ourselves")
        court.ask_database("update host set division_id = %s where name = 'pve1'", court.home)
        court.ask_database(
            "insert into host_check (host_id, kind, name, options) values (%s, 'ssh', 'SSH', '{}')", pve.id
        )
        request = agreed(court, host=pve.id)
        serve(hands(court, place))
        assert ended(court, request) == ("cancelled", "ourselves"), "Pantau would go down with it"
        assert not cluster.ordered


def test_where_it_is_not_clear_which_guest_it_is_nothing_is_asked_for(court: Court, there: Yonder, place: Path) -> None:
    told = ("proxmox.guest", "101 till", "virtual machine, running, on pve1")
    pve = above(court, there, place, "proxmox", {}, *TOKEN, told)

    def refused(code: str, **params: Any) -> None:
        with pytest.raises(Denied) as found:
            court.ask(kind="vm.restart", params={**pve.params, **params})
        assert found.value.code == code

    refused("guest", guest="102 other")
    refused("guest", hypervisor=court.host)
    refused("unclear", guest="101 till; reboot")
    court.ask_database("update fact set value = 'virtual machine, stopped, on pve1'")
    refused("guest")
    court.ask_database("update fact set value = 'virtual machine, running, on pve1'")
    court.ask_database("insert into fact select check_id, name, '205 till.example', host_id, value, since from fact")
    refused("guest")
    court.ask_database("delete from fact where part like '205%%'")
    twin = court.machine("till.example")
    refused("guest")
    court.ask_database("delete from host where id = %s", twin)
    court.ask_database("update host set action_credential_id = null where name = 'pve1'")
    refused("login_there")
    with court.as_person("staff") as (session, _):
        found = session.execute(select(func.count()).select_from(func.pantau_hypervisors(pve.id))).scalar()
        assert found == 0


def test_hyper_v_shuts_a_guest_down_and_turns_it_on(court: Court, there: Yonder, place: Path) -> None:
    with hyperv(court, there, place) as (listener, host):
        request = agreed(court, **host.order)
        serve(hands(court, place))
        assert ended(court, request)[0] == "done", ended(court, request)
        (first, asked), (second, given) = listener.machine.done
        assert (first, asked["Force"], second, given) == (
            "initiateshutdown",
            "false",
            "requeststatechange",
            {"RequestedState": "2"},
        )
        assert asked["Reason"] == f"Pantau, request {request}, agreed by One, Two"
        assert codes(court, request)[3:] == [
            "begun", "looked", "window", "sent_stop", "taken", "stopping", "stopped", "sent_start", "taken", "awaited",
            "proof", "done",
        ]  # fmt: skip


def test_what_hyper_v_says_instead_is_told(court: Court, there: Yonder, place: Path) -> None:
    stop, start = "initiateshutdown", "requeststatechange"
    cases: list[tuple[dict[str, Any], str, str, str, list[str]]] = [
        ({"integrated": False}, "", "failed", "integration service", []),
        ({"state": 9}, "", "failed", "does not run: it is paused", []),
        ({"refuses": {stop: 32774}}, "", "failed", "somebody works at it", [stop]),
        ({"refuses": {start: 32778}}, "", "failed", "was stopped, and did not start again. Hyper-V", [stop, start]),
        ({"takes": 1000.0}, "", "unknown", "not_stopped", [stop]),
        ({}, "InitiateShutdown", "unknown", "may have stopped till, which is not started again", [stop]),
        ({}, "RequestStateChange", "unknown", "was stopped, and may not have started", [stop, start]),
    ]
    with hyperv(court, there, place) as (listener, host):
        for changed, lost, state, words, orders in cases:
            listener.machine.vms["till"] = Guest(GUID, time.time() - HOURS, **changed)
            listener.machine.done.clear()
            listener.troubles = {lost: "close"} if lost else {}
            request = agreed(court, **host.order)
            serve(hands(court, place, Patience(restart=2, stop=2, checks=0, pause=0.2)))
            assert ended(court, request)[0] == state, (changed, lost, ended(court, request))
            assert words in ended(court, request)[1], ended(court, request)
            assert [method for method, _ in listener.machine.done] == orders
            court.later(request, minutes=20)


@pytest.mark.timeout(300)
def test_killed_between_the_parts_no_guest_is_told_twice(court: Court, there: Yonder, place: Path) -> None:
    stop, start = "initiateshutdown", "requeststatechange"

    def asked(listener: Listener, name: str) -> Callable[[int], object]:
        return lambda request: listener.asked(name)

    with hyperv(court, there, place) as (listener, host):
        moments: list[tuple[Callable[[int], object], str, str, list[list[str]]]] = [
            (asked(listener, "InitiateShutdown"), "InitiateShutdown", "cut_between", [[stop]]),
            (lambda request: "stopping" in codes(court, request), "", "", [[stop], [stop, start]]),
            (asked(listener, "RequestStateChange"), "RequestStateChange", "cut_off", [[stop, start]]),
        ]
        for moment, slow, code, possible in moments:
            listener.machine.vms["till"] = Guest(GUID, time.time() - HOURS, takes=0.5)
            listener.machine.done.clear()
            listener.log.clear()
            listener.troubles = {slow: "wait:5"} if slow else {}
            request = kill_at(court, place, moment, hands(court, place), **host.order)
            state, text = ended(court, request)
            assert state == "unknown" or not slow, (state, text)
            assert not code or text == code
            assert [method for method, _ in listener.machine.done] in possible
            court.later(request, minutes=20)


def test_killed_while_proxmox_works_it_is_not_told_again(court: Court, there: Yonder, place: Path) -> None:
    with proxmox(court, there, place) as (cluster, pve):
        cluster.takes = 5.0
        request = kill_at(court, place, lambda request: cluster.ordered, hands(court, place), **pve.order)
        assert ended(court, request) == ("unknown", "cut_off")
        assert len(cluster.ordered) == 1
