"""The Proxmox VE probe against a listener of the documented shapes (synthetic), and against peers that are none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from proxmoxapi import GIB, HOUR, TOKEN, Cluster, backup, guest, log, node, serving, storage
from talkers import dripping, saying, talking, within
from webpeers import Authority, response, web

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import catalogue, proxmox
from probes.base import Keep
from probes.proxmox import Options
from tests.ports import free_port

SECRET = Secret(*TOKEN)


class Look:
    """Looks at a listener whose certificate is pinned, as a node's usually is."""

    def __init__(self, keep: Keep, place: Path) -> None:
        self._keep = keep
        self.context, self.pem = Authority(place).server("127.0.0.1", alone=True)

    def at(self, port: int, secret: Secret | None = SECRET, deadline: float = 6.0, **options: object) -> Reading:
        filled = fill(Options, {"port": port, "ca": self.pem, **options})
        return proxmox.look(Target("127.0.0.1", filled, secret, deadline), self._keep)

    def of(self, cluster: Cluster, **options: object) -> Reading:
        with serving(cluster, self.context) as peer:
            return self.at(peer.port, **options)  # type: ignore[arg-type]


@pytest.fixture
def look(keep: Keep, tmp_path: Path) -> Look:
    return Look(keep, tmp_path)


def house(**more: object) -> Cluster:
    """Two nodes, three guests and a template."""
    resources = [
        node("pve1"), node("pve2"), guest(100, "web"), guest(101, "mail", status="stopped"),
        guest(102, "dns", "lxc", node="pve2", disk=GIB, maxdisk=4 * GIB), guest(900, "base", status="stopped", template=1),
        storage("local", "pve1"), storage("local", "pve2"), storage("nfs", "pve1", 1), storage("nfs", "pve2", 1),
        {"id": "sdn/pve1/localnetwork", "type": "sdn", "node": "pve1", "sdn": "localnetwork", "status": "ok"},
    ]  # fmt: skip
    return Cluster(resources, **more)  # type: ignore[arg-type]


def failed(reading: Reading, kind: FailureKind, *words: str) -> None:
    assert reading.failure is not None, reading
    assert reading.failure.kind is kind, reading.failure
    for word in words:
        assert word in reading.failure.detail, reading.failure


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(one.value for one in reading.measures if one.name == f"proxmox.{name}" and one.of == of)


def parts(reading: Reading, name: str) -> set[str]:
    return {one.of for one in reading.measures if one.name == f"proxmox.{name}"}


# --- a healthy cluster ------------------------------------------------------------------------------------------


def test_nodes_guests_and_storages_are_told(look: Look) -> None:
    reading = look.of(house())
    assert reading.failure is None
    assert value(reading, "quorate") == 1
    assert value(reading, "node.cpu.utilization", "pve1") == 0.1
    assert value(reading, "node.memory.utilization", "pve2") == 0.5
    assert value(reading, "node.filesystem.utilization", "pve1") == 0.2
    assert value(reading, "guests") == 3 and value(reading, "guests", "running") == 2
    assert value(reading, "guest.running", "100 web") == 1 and value(reading, "guest.running", "101 mail") == 0
    assert value(reading, "guest.memory.utilization", "100 web") == 0.25
    assert value(reading, "guest.filesystem.utilization", "102 dns") == 0.25
    assert parts(reading, "guest.filesystem.utilization") == {"102 dns"}
    assert parts(reading, "storage.utilization") == {"pve1 local", "pve2 local", "nfs"}
    assert value(reading, "storage.utilization", "nfs") == 0.3
    assert not any("base" in one.of for one in reading.measures)
    facts = {(one.name, one.of): one.value for one in reading.facts}
    assert facts["proxmox.version", ""] == "8.2.4"
    assert facts["proxmox.guest", "102 dns"] == "container, running, on pve2"


def test_every_measure_brought_is_declared_with_its_unit_and_kind(look: Look) -> None:
    cluster = house(tasks={"pve1": [backup("pve1", 60, vmid="100")]}, replication={"pve1": [job()]})
    reading = look.of(cluster)
    declared = {(row.name, row.unit, row.kind) for row in catalogue()["proxmox"].produces}
    assert {(one.name, one.unit, one.kind) for one in reading.measures} == declared
    assert len({(one.name, one.of) for one in reading.measures}) == len(reading.measures)


def test_guests_are_left_out_where_they_are_watched_themselves(look: Look) -> None:
    reading = look.of(house(), guests=False)
    assert not parts(reading, "guest.running")
    assert value(reading, "guests") == 3


# --- what is broken ---------------------------------------------------------------------------------------------


def test_a_node_that_is_off_and_a_cluster_without_quorum_fail_the_check(look: Look) -> None:
    cluster = house(quorate=0)
    cluster.resources[1] = node("pve2", "offline")
    reading = look.of(cluster)
    failed(reading, FailureKind.REFUSED, "no quorum", "The node pve2 is offline.")
    assert value(reading, "node.online", "pve2") == 0
    assert parts(reading, "node.cpu.utilization") == {"pve1"}
    assert not any("/pve2/" in path for path in cluster.asked)


def job(**more: object) -> dict[str, object]:
    return {
        "id": "100-0", "guest": 100, "vmtype": "qemu", "source": "pve1", "target": "pve2", "type": "local", "jobnum": 0,
        "last_sync": int(time.time()) - 900, "last_try": int(time.time()) - 900, "fail_count": 0, "duration": 3.5,
        "schedule": "*/15", **more,
    }  # fmt: skip


def test_replication_that_fails_is_told_with_its_error(look: Look) -> None:
    good = look.of(house(replication={"pve1": [job()]}))
    assert good.failure is None
    assert value(good, "replication.age", "100 web to pve2") == pytest.approx(900, abs=10)
    bad = look.of(house(replication={"pve1": [job(fail_count=3, error="no route\x1b[2J to host")]}))
    failed(bad, FailureKind.REFUSED, "Replication of 100 web to pve2 failed 3 times in a row", "no route")
    assert "\\x1b" not in repr(bad)


def test_backups_of_single_guests_are_told_by_age_and_outcome(look: Look) -> None:
    tasks = [
        backup("pve1", 2 * HOUR, "job errors", "100"), backup("pve1", 26 * HOUR, "OK", "100"),
        backup("pve1", HOUR, "WARNINGS: 1", "101"), {**backup("pve1", 0, vmid="102"), "endtime": None},
    ]  # fmt: skip
    reading = look.of(house(tasks={"pve1": tasks}))
    failed(reading, FailureKind.REFUSED, "The last backup of 100 web failed.")
    assert value(reading, "backup.age", "100 web") == pytest.approx(26 * HOUR, abs=10)
    assert value(reading, "backup.failed", "100 web") == 1
    assert value(reading, "backup.failed", "101 mail") == 0
    assert "102 dns" not in parts(reading, "backup.age")


def test_backups_of_a_job_over_many_guests_are_read_from_its_log_once(look: Look) -> None:
    task = backup("pve1", 3 * HOUR, "job errors")
    lines = log(
        "INFO: starting new backup job: vzdump --all 1",
        "INFO: Starting Backup of VM 100 (qemu)",
        "INFO: Finished Backup of VM 100 (00:01:10)",
        "INFO: Starting Backup of VM 101 (qemu)",
        "ERROR: Backup of VM 101 failed - no space left on device",
        "INFO: Finished Backup of VM 999",
    )
    cluster = house(tasks={"pve1": [task]}, logs={task["upid"]: lines})
    with serving(cluster, look.context) as peer:
        for _ in range(2):
            reading = look.at(peer.port)
    failed(reading, FailureKind.REFUSED, "The last backup of 101 mail failed.")
    assert value(reading, "backup.age", "100 web") == pytest.approx(3 * HOUR, abs=10)
    assert "101 mail" not in parts(reading, "backup.age")
    assert sum(path.endswith("/log") for path in cluster.asked) == 1


def test_a_backup_that_is_too_old_or_missing_fails_where_that_is_asked_for(look: Look) -> None:
    cluster = house(tasks={"pve2": [backup("pve2", 30 * HOUR, vmid="100"), backup("pve2", HOUR, vmid="102")]})
    assert look.of(cluster).failure is None
    reading = look.of(cluster, backup_hours=24)
    failed(reading, FailureKind.REFUSED, "backup of 100 web is 30 h old", "101 mail is not among the last backups")
    assert "102 dns" not in reading.failure.detail  # type: ignore[union-attr]


def test_guests_no_backup_job_covers_are_named(look: Look) -> None:
    reading = look.of(house(unprotected=[{"vmid": 101, "name": "mail", "type": "qemu"}]))
    assert value(reading, "backup.unprotected") == 1
    assert next(one.value for one in reading.facts if one.name == "proxmox.unprotected") == "101 mail"


# --- rights, and who is let in ----------------------------------------------------------------------------------


def test_a_wrong_token_is_denied_and_is_not_offered_for_ever(look: Look) -> None:
    wrong = Secret(TOKEN[0], "wrong")
    cluster = house()
    with serving(cluster, look.context) as peer:
        for _ in range(2):
            failed(look.at(peer.port, wrong), FailureKind.DENIED, "does not take this token")
        failed(look.at(peer.port, wrong), FailureKind.DENIED, "every five minutes")
        assert len(cluster.asked) == 2


@pytest.mark.parametrize("secret", [None, Secret("root@pam", "x"), Secret("a@b!c\r\nX: y", "x")])
def test_what_is_no_token_is_not_sent(look: Look, secret: Secret | None) -> None:
    failed(look.at(free_port(), secret), FailureKind.DENIED, "pantau@pve!watch")


def test_a_token_without_rights_is_told_which_role_it_needs(look: Look) -> None:
    failed(look.of(Cluster()), FailureKind.DENIED, "PVEAuditor")
    failed(look.of(house(shut=("version",))), FailureKind.DENIED, "PVEAuditor")
    partly = look.of(
        house(shut=("nodes/pve1/tasks", "nodes/pve1/replication", "cluster/status", "cluster/backup-info"))
    )
    failed(partly, FailureKind.DENIED, "replication and backup tasks")
    assert value(partly, "guests") == 3


def test_no_token_goes_to_a_server_that_is_not_the_pinned_one(look: Look, tmp_path: Path) -> None:
    other, _ = Authority(tmp_path).server("127.0.0.1", alone=True)
    cluster = house()
    with serving(cluster, other) as peer:
        reading = look.at(peer.port)
    failed(reading, FailureKind.UNTRUSTED, "certificate")
    assert not cluster.asked
    assert [one.name for one in reading.measures] == ["tls.certificate.expiry"]


# --- peers that are none ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (response(body=b"<html>"), FailureKind.REFUSED, "not JSON"),
        (response(body=b"[]"), FailureKind.REFUSED, "no 'data'"),
        (response(body=b'{"data": "x"}'), FailureKind.DENIED, "PVEAuditor"),
        (response("404 Not Found"), FailureKind.UNSUPPORTED, "not the API"),
        (response("595 Connection refused"), FailureKind.REFUSED, "595"),
        (response("302 Found", b"", Location="https://example.org/"), FailureKind.REFUSED, "302"),
        (response(body=b'{"data": ' + b"[" * 5000), FailureKind.REFUSED, "not JSON"),
        (response(body=b'{"data": "' + b"x" * 600_000 + b'"}'), FailureKind.REFUSED, "larger than 512 KiB"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", FailureKind.REFUSED, "before it is complete"),
        (b"SSH-2.0-x\r\n", FailureKind.REFUSED, "not proper HTTP"),
    ],
)
def test_what_is_not_the_api_is_said_not_to_be(look: Look, answer: bytes, kind: FailureKind, words: str) -> None:
    with web(answer, tls=look.context) as peer:
        failed(look.at(peer.port), kind, words)


def test_objects_that_are_not_as_documented_bring_nothing(look: Look) -> None:
    odd = [
        {"type": "node", "node": {"a": 1}, "status": "online", "cpu": "x", "mem": [], "maxmem": None, "uptime": True},
        {"type": "qemu", "vmid": None, "name": 5, "status": [], "cpu": float("1e300")}, {"type": "storage"}, {"type": []}, {},
    ]  # fmt: skip
    reading = look.of(Cluster(odd))  # type: ignore[arg-type]
    assert reading.failure is None
    assert not parts(reading, "node.cpu.utilization")


def test_a_server_that_drips_is_given_up_and_a_plain_one_refused(look: Look) -> None:
    with talking(dripping(b"\x16\x03\x03\x40\x00")) as peer:
        stop = within(5)
        failed(look.at(peer.port, deadline=1.0), FailureKind.TIMEOUT)
        stop()
    with talking(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as peer:
        failed(look.at(peer.port), FailureKind.REFUSED, "does not speak TLS")
    failed(look.at(free_port()), FailureKind.REFUSED, "nothing listens there")
