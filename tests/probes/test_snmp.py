"""SNMP against a real agent, an agent that errs in every known way, and the published vectors."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from snmpagents import (
    AUTH,
    COMMUNITY,
    PRIV,
    SYSTEM,
    Agent,
    Snmpd,
    ports,
    responding,
    response,
    whole,
    words,
)

from domain.options import fill
from domain.reading import FailureKind, Reading, Secret, Target
from probes import names, snmp
from probes.base import Keep
from probes.limits import Deadline, Meter
from probes.snmp import Options, ber, message, usm
from probes.snmp.device import Start
from probes.snmp.engine import Engine, Silent
from probes.snmp.session import Session
from probes.snmp.voice import Community
from tests.fuzz import snmp as fuzz
from tests.ports import free_port

PUBLIC = Secret(password=COMMUNITY)
LEVELS = {
    "sha1": {"auth": "SHA-1", "priv": "AES-128"},
    "sha256": {"auth": "SHA-256", "priv": "AES-256"},
    "sha512": {"auth": "SHA-512", "priv": "AES-192"},
    "cisco": {"auth": "SHA-1", "priv": "AES-256-Cisco"},
    "old": {"auth": "MD5", "priv": "DES"},
}


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snmpd]:
    agent = Snmpd(tmp_path_factory.mktemp("snmpd"))
    agent.start()
    yield agent
    agent.stop()


async def look(
    keep: Keep, port: int, secret: Secret | None = PUBLIC, deadline: float = 3.0, **options: object
) -> Reading:
    return await snmp.look(Target("127.0.0.1", Options(port, **options), secret, deadline), keep)  # type: ignore[arg-type]


def value(reading: Reading, name: str, of: str = "") -> float:
    return next(m.value for m in reading.measures if (m.name, m.of) == (name, of))


def fact(reading: Reading, name: str, of: str = "") -> str:
    return next((f.value for f in reading.facts if (f.name, f.of) == (name, of)), "")


def parts(reading: Reading, name: str) -> list[str]:
    return [m.of for m in reading.measures if m.name == name]


def detail(reading: Reading) -> str:
    assert reading.failure is not None
    return reading.failure.detail


# ---- a real agent ----


@pytest.mark.parametrize("version", ["1", "2c", "auto"])
async def test_a_linux_machine_tells_of_itself(keep: Keep, snmpd: Snmpd, version: str) -> None:
    reading = await look(keep, snmpd.port, version=version)
    assert reading.failure is None
    total = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0]) * 1024
    assert value(reading, "system.memory.limit") == total
    assert 0 < value(reading, "system.memory.utilization") < 1
    assert "/" in parts(reading, "system.filesystem.utilization")
    assert "lo" in parts(reading, "system.network.io.receive")
    assert fact(reading, "host.name") == "tester"
    assert fact(reading, "host.location") == "Jakarta"
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert value(reading, "system.uptime") == pytest.approx(uptime, abs=5)
    assert reading.cost.sent > 100
    assert reading.cost.received > 1000


@pytest.mark.parametrize("user", LEVELS)
async def test_every_way_of_securing_version_3_is_understood(keep: Keep, snmpd: Snmpd, user: str) -> None:
    reading = await look(keep, snmpd.port, Secret(user, AUTH, passphrase=PRIV), **LEVELS[user])
    assert reading.failure is None
    assert fact(reading, "host.name") == "tester"
    assert ("broken" in fact(reading, "snmp.security")) == (user == "old")


async def test_lesser_levels_of_version_3_work_and_are_called_what_they_are(keep: Keep, snmpd: Snmpd) -> None:
    clear = await look(keep, snmpd.port, Secret("sha1", AUTH), level="authNoPriv", auth="SHA-1")
    nobody = await look(keep, snmpd.port, Secret("open"), level="noAuthNoPriv")
    assert (clear.failure, nobody.failure) == (None, None)
    assert "readable" in fact(clear, "snmp.security")
    assert "forge" in fact(nobody, "snmp.security")


@pytest.mark.parametrize(
    ("secret", "options", "word"),
    [
        (Secret("nobody", AUTH, passphrase=PRIV), {}, "knows no user 'nobody'"),
        (Secret("sha256", "another-password", passphrase=PRIV), LEVELS["sha256"], "authentication of 'sha256'"),
        (Secret("sha256", AUTH, passphrase=PRIV), {"auth": "SHA-512", "priv": "AES-256"}, "authentication of 'sha256'"),
        (Secret("sha256", AUTH, passphrase="another-password"), LEVELS["sha256"], "privacy password"),
        (Secret("sha256", AUTH, passphrase=PRIV), {"auth": "SHA-256", "priv": "AES-128"}, "privacy password"),
        (Secret("sha256", AUTH), {"auth": "SHA-256", "level": "authNoPriv"}, "'sha256'"),
    ],
)
async def test_the_test_button_says_which_part_of_a_login_is_wrong(
    keep: Keep, snmpd: Snmpd, secret: Secret, options: dict[str, str], word: str
) -> None:
    reading = await look(keep, snmpd.port, secret, **options)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.DENIED
    assert word in detail(reading)


async def test_a_wrong_community_is_silence_and_the_sentence_says_so(keep: Keep, snmpd: Snmpd) -> None:
    reading = await look(keep, snmpd.port, Secret(password="another"), deadline=1.0)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT
    assert "community" in detail(reading)


async def test_a_closed_port_is_refused_at_once_and_not_waited_for(keep: Keep) -> None:
    began = time.monotonic()
    reading = await look(keep, free_port(), deadline=20.0)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("secret", "options", "word"),
    [
        (None, {}, "choose an SNMP community"),
        (Secret("user"), {}, "no authentication password"),
        (Secret("user", AUTH), {}, "no privacy password"),
        (Secret(password="word"), {"version": "3"}, "as a user"),
        (Secret("user", AUTH), {"version": "2c"}, "with a community"),
    ],
)
async def test_without_the_right_credential_nothing_is_sent(
    keep: Keep, secret: Secret | None, options: dict[str, str], word: str
) -> None:
    with responding(lambda data, source: []) as agent:
        reading = await look(keep, agent.port, secret, **options)
        assert agent.heard == []
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.DENIED
    assert word in detail(reading)


async def test_an_agent_that_restarts_is_followed_and_told_from_a_reboot(keep: Keep, tmp_path: Path) -> None:
    agent = Snmpd(tmp_path)
    agent.start()
    try:
        secret, options = Secret("sha256", AUTH, passphrase=PRIV), LEVELS["sha256"]
        before = await look(keep, agent.port, secret, **options)
        agent.stop()
        agent.start()  # its engine's boots go up: our clock for it is wrong now
        after = await look(keep, agent.port, secret, **options)
    finally:
        agent.stop()
    assert (before.failure, after.failure) == (None, None)
    assert fact(before, "host.boot.id") == fact(after, "host.boot.id") != ""
    assert value(after, "system.uptime") >= value(before, "system.uptime")
    assert value(after, "snmp.agent.uptime") < value(after, "system.uptime")


async def test_a_frozen_agent_costs_the_deadline_and_no_more(keep: Keep, tmp_path: Path) -> None:
    agent = Snmpd(tmp_path)
    agent.start()
    try:
        assert (await look(keep, agent.port)).failure is None
        agent.pause()
        began = time.monotonic()
        reading = await look(keep, agent.port, deadline=1.5)
        took = time.monotonic() - began
    finally:
        agent.stop()
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.TIMEOUT
    assert took < 3


def walked(port: int, *arguments: str) -> list[str]:
    """What net-snmp's own client reads, one "name type: value" a line, the constantly changing left out."""
    done = subprocess.run(
        ["snmpbulkwalk", "-v2c", "-c", COMMUNITY, "-One", "-Ob", "-Ih", *arguments, f"127.0.0.1:{port}", "1.3.6.1.2.1.1"],
        capture_output=True, text=True, check=True, env={"MIBS": "", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout.splitlines()


async def test_a_walk_reads_what_another_client_reads(snmpd: Snmpd) -> None:
    engine, place = Engine(), names.numeric("127.0.0.1")
    assert place is not None
    session = Session(engine, place, snmpd.port, Community(message.V2C, COMMUNITY.encode()), Deadline(10), Meter())
    column = "1.3.6.1.2.1.1.9.1.3"  # sysORDescr
    rows = await session.table({"descr": ber.name(column)})
    engine.close()
    theirs = [line.split("STRING: ")[1].strip('"') for line in walked(snmpd.port) if line.startswith(f".{column}.")]
    assert [str(row["descr"], "ascii") for row in rows.values() if isinstance(row["descr"], bytes)] == theirs
    assert len(theirs) > 3


async def test_pysnmp_reads_every_value_the_same(snmpd: Snmpd) -> None:
    from pysnmp.hlapi.v3arch import asyncio as pysnmp

    theirs = {}
    library = pysnmp.SnmpEngine()
    target = await pysnmp.UdpTransportTarget.create(("127.0.0.1", snmpd.port))
    async for error, status, _, bindings in pysnmp.bulk_walk_cmd(
        library, pysnmp.CommunityData(COMMUNITY), target, pysnmp.ContextData(), 0, 25,
        pysnmp.ObjectType(pysnmp.ObjectIdentity("1.3.6.1.2.1.2")), lexicographicMode=False, lookupMib=False,
    ):  # fmt: skip
        assert not error
        assert not status
        for name, said in bindings:
            theirs[str(name)] = bytes(said) if hasattr(said, "asOctets") else str(said)
    library.close_dispatcher()
    engine, place = Engine(), names.numeric("127.0.0.1")
    assert place is not None
    session = Session(engine, place, snmpd.port, Community(message.V2C, COMMUNITY.encode()), Deadline(10), Meter())
    ours = {}
    for name, (tag, said) in (await session.get([ber.name(name) for name in theirs])).items():
        ours[ber.dotted(name)] = (
            ber.dotted(said)
            if tag == ber.OID and isinstance(said, bytes)
            else said
            if isinstance(said, bytes)
            else str(said)
        )
    engine.close()
    assert len(theirs) > 20
    moving = ("1.3.6.1.2.1.2.2.1.10.", "1.3.6.1.2.1.2.2.1.11.", "1.3.6.1.2.1.2.2.1.16.", "1.3.6.1.2.1.2.2.1.17.")
    same = {name for name in theirs if ours.get(name) == theirs[name] or name.startswith(moving)}
    assert same == set(theirs)


# ---- an agent that errs ----


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("most", [60, 250, 1400])
async def test_a_hundred_ports_are_read_through_messages_of_any_size(keep: Keep, version: str, most: int) -> None:
    with responding(Agent(SYSTEM | ports(100), most)) as agent:
        reading = await look(keep, agent.port, version=version, deadline=20.0)
    assert reading.failure is None
    assert len(parts(reading, "system.network.io.receive")) == 100
    assert {value(reading, "system.network.io.transmit", f"port{at}") for at in range(1, 101)} == {2000}


async def test_names_that_do_not_increase_end_their_column_and_not_the_look(keep: Keep) -> None:
    class Circle(Agent):
        def after(self, name: tuple[int, ...]) -> tuple[tuple[int, ...], int, bytes]:
            if name[:10] == (1, 3, 6, 1, 2, 1, 2, 2, 1, 10) and len(name) == 11:
                return (*name[:10], 1), ber.COUNTER32, b"\x05"
            return super().after(name)

    with responding(Circle(SYSTEM | ports(3))) as agent:
        reading = await look(keep, agent.port)
    assert reading.failure is None
    assert len(parts(reading, "system.network.io.transmit")) == 3
    assert "do not increase" in fact(reading, "snmp.troubles")


async def test_interfaces_that_are_renumbered_keep_their_names(keep: Keep) -> None:
    agent = Agent(SYSTEM | ports(3))
    with responding(agent) as line:
        before = await look(keep, line.port)
        tree = SYSTEM | ports(3, first=7)
        for at in range(7, 10):  # the same ports at other places
            tree[f"1.3.6.1.2.1.2.2.1.2.{at}"] = words(f"port{10 - at}")
        agent.set(tree)
        after = await look(keep, line.port)
    assert (
        sorted(parts(before, "hw.network.up")) == sorted(parts(after, "hw.network.up")) == ["port1", "port2", "port3"]
    )
    assert fact(after, "interface.index", "port1") == "9"


async def test_one_object_in_error_costs_that_object_only(keep: Keep) -> None:
    class Sick(Agent):
        def answer(self, version: int, asked: message.Pdu) -> bytes:
            sick = ber.name("1.3.6.1.2.1.1.5.0")
            at = next((at for at, row in enumerate(asked.bindings, 1) if row[0] == sick), 0)
            if at and asked.kind == message.GET:
                return response(asked.request_id, [(name, ber.NULL, b"") for name, _, _ in asked.bindings], 5, at)
            return super().answer(version, asked)

    with responding(Sick(SYSTEM | ports(2))) as agent:
        reading = await look(keep, agent.port)
    assert reading.failure is None
    assert fact(reading, "host.description") == "a small agent"
    assert fact(reading, "host.name") == ""
    assert "1.3.6.1.2.1.1.5.0: genErr" in fact(reading, "snmp.troubles")


@pytest.mark.parametrize(
    "change", ["number", "community", "version", "other objects", "kind", "garbage", "cut", "longer"]
)
async def test_what_does_not_answer_our_question_is_not_believed(keep: Keep, change: str) -> None:
    good = Agent(SYSTEM)

    def answer(data: bytes, source: tuple[str, int]) -> list[bytes]:
        version, word, asked = message.read(data)
        right = good.answer(version, asked)
        if change == "number":
            return [message.community(version, word, response(asked.request_id ^ 1, [(b"+\x06", ber.OCTETS, b"lie")]))]
        if change == "community":
            return [message.community(version, b"other", right)]
        if change == "version":
            return [message.community(0, word, right)]
        if change == "other objects":
            return [message.community(version, word, response(asked.request_id, [(b"+\x06\x01", ber.OCTETS, b"lie")]))]
        if change == "kind":
            return [message.community(version, word, message.pdu(message.GET, asked.request_id, message.asks((b"+",))))]
        whole_answer = message.community(version, word, right)
        return {"garbage": [b"\x30\x82garbage", b"", b"\xff" * 1000], "cut": [whole_answer[:-3]]}.get(
            change, [whole_answer + b"\0"]
        )

    with responding(answer) as agent:
        reading = await look(keep, agent.port, deadline=1.0)
    assert reading.failure is not None
    assert reading.failure.kind in (FailureKind.TIMEOUT, FailureKind.UNSUPPORTED)
    assert reading.measures == ()


async def test_an_answer_from_another_address_is_named_and_not_believed(keep: Keep) -> None:
    with responding(Agent(SYSTEM), sender="127.0.0.2") as agent:
        reading = await look(keep, agent.port, deadline=1.0)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.UNSUPPORTED
    assert "127.0.0.2" in detail(reading)


async def test_stray_answers_do_not_prolong_the_wait(keep: Keep) -> None:
    def answer(data: bytes, source: tuple[str, int]) -> list[bytes]:
        return [message.community(1, b"x", response(at, [])) for at in range(200)] * 2

    with responding(answer) as agent:
        began = time.monotonic()
        reading = await look(keep, agent.port, deadline=1.0)
        took = time.monotonic() - began
    assert reading.failure is not None
    assert took < 3


async def test_a_late_answer_to_the_first_question_still_counts(keep: Keep) -> None:
    good, seen = Agent(SYSTEM), []

    def answer(data: bytes, source: tuple[str, int]) -> list[bytes]:
        seen.append(data)
        if len(seen) == 1:
            time.sleep(1.4)  # past the second sending
        return good(data, source)

    with responding(answer) as agent:
        reading = await look(keep, agent.port, deadline=5.0)
    assert reading.failure is None
    assert seen[0] == seen[1]


async def test_an_agent_too_slow_for_all_of_it_is_alive_and_gives_what_it_gave(keep: Keep) -> None:
    good = Agent(SYSTEM | ports(100), 250)

    def answer(data: bytes, source: tuple[str, int]) -> list[bytes]:
        time.sleep(0.15)
        return good(data, source)

    with responding(answer) as agent:
        reading = await look(keep, agent.port, deadline=2.0)
    assert reading.failure is not None
    assert reading.failure.kind is FailureKind.REFUSED
    assert "answers, but not everything" in detail(reading)


async def test_an_endless_table_is_cut(keep: Keep) -> None:
    class Endless(Agent):
        def after(self, name: tuple[int, ...]) -> tuple[tuple[int, ...], int, bytes]:
            if name[:8] == (1, 3, 6, 1, 2, 1, 2, 2) and len(name) >= 10:
                last = name[10] if len(name) > 10 else 0
                return (*name[:10], last + 1), ber.OCTETS, b"x" * 400
            return super().after(name)

    with responding(Endless(SYSTEM | ports(1), 60000)) as agent:
        reading = await look(keep, agent.port, deadline=15.0)
    assert reading.cost.received <= snmp.LOOK_BYTES + 65535
    assert reading.failure is None or reading.failure.kind in (FailureKind.UNSUPPORTED, FailureKind.REFUSED)


# ---- what numbers mean ----


async def test_a_32_bit_counter_that_wraps_goes_on_and_one_that_is_reset_is_dropped(keep: Keep) -> None:
    agent = Agent(SYSTEM | ports(1, receive=2**32 - 500))
    with responding(agent) as line:
        first = await look(keep, line.port)
        time.sleep(0.1)
        agent.set(SYSTEM | ports(1, receive=700))  # 1200 octets later
        second = await look(keep, line.port)
        time.sleep(0.1)
        agent.set(SYSTEM | ports(1, receive=100))  # less than a line of 100 Mbit/s could have gone round
        third = await look(keep, line.port)
    gained = value(second, "system.network.io.receive", "port1") - value(first, "system.network.io.receive", "port1")
    assert gained == 1200
    assert parts(third, "system.network.io.receive") == []


async def test_interfaces_off_absent_or_waiting_for_another_are_no_failure(keep: Keep) -> None:
    tree = SYSTEM | ports(4)
    for at, (admin, oper) in enumerate([(1, 2), (2, 2), (1, 6), (1, 7)], 1):
        tree[f"1.3.6.1.2.1.2.2.1.7.{at}"] = whole(admin)
        tree[f"1.3.6.1.2.1.2.2.1.8.{at}"] = whole(oper)
    with responding(Agent(tree)) as agent:
        reading = await look(keep, agent.port)
    assert parts(reading, "hw.network.up") == ["port1"]
    assert value(reading, "hw.network.up", "port1") == 0
    assert [fact(reading, "interface.oper", f"port{at}") for at in (3, 4)] == ["notPresent", "lowerLayerDown"]


async def test_storage_of_no_size_negative_sizes_and_texts_with_nul_do_no_harm(keep: Keep) -> None:
    entry = "1.3.6.1.2.1.25.2.3.1"
    disk = (ber.OID, ber.name("1.3.6.1.2.1.25.2.1.4"))
    tree = SYSTEM | {
        f"{entry}.2.1": disk, f"{entry}.2.2": disk, f"{entry}.2.3": disk,
        f"{entry}.3.1": (ber.OCTETS, b"C:\\ Label:Data  Serial 1\0"), f"{entry}.3.2": words("/empty"),
        f"{entry}.3.3": (ber.OCTETS, b"/caf\xe9"),
        f"{entry}.4.1": whole(4096), f"{entry}.4.2": whole(4096), f"{entry}.4.3": whole(4096),
        f"{entry}.5.1": whole(1000), f"{entry}.5.2": whole(0), f"{entry}.5.3": whole(-2147483648),
        f"{entry}.6.1": whole(250), f"{entry}.6.2": whole(0), f"{entry}.6.3": whole(1),
    }  # fmt: skip
    with responding(Agent(tree)) as agent:
        reading = await look(keep, agent.port)
    assert parts(reading, "system.filesystem.limit") == ["C:\\", "/café"]
    assert value(reading, "system.filesystem.utilization", "C:\\") == 0.25
    assert value(reading, "system.filesystem.limit", "/café") == 2**31 * 4096


async def test_objects_of_ones_own_are_numbers_with_units_or_texts(keep: Keep) -> None:
    tree = SYSTEM | {
        "1.3.6.1.4.1.99999.1.0": whole(235),
        "1.3.6.1.4.1.99999.2.0": words(" 12.5 "),
        "1.3.6.1.4.1.99999.3.0": words("all well"),
        "1.3.6.1.4.1.99999.4.0": whole(7, ber.COUNTER32),
    }
    lines = (
        "Inlet = 1.3.6.1.4.1.99999.1.0 Cel / 10", "Load=1.3.6.1.4.1.99999.2.0", "State = 1.3.6.1.4.1.99999.3.0",
        "Doors = .1.3.6.1.4.1.99999.4.0 {opening}", "Nothing = 1.3.6.1.4.1.99999.5.0",
    )  # fmt: skip
    with responding(Agent(tree)) as agent:
        reading = await look(keep, agent.port, objects=lines)
    own = {m.of: (m.value, m.unit, m.kind) for m in reading.measures if m.name == "snmp.value"}
    assert own == {"Inlet": (23.5, "Cel", "gauge"), "Load": (12.5, "1", "gauge"), "Doors": (7, "{opening}", "counter")}
    assert fact(reading, "snmp.value", "State") == "all well"
    assert "not offered" in fact(reading, "snmp.value", "Nothing")


@pytest.mark.parametrize("line", ["nonsense", "A = 1.3.x", "A = 9.9.9", "A = 1.3.6.1 Cel / zero", "A = 1.3.6.1 / 0"])
def test_a_wrong_object_of_ones_own_is_told_by_its_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"A = |nonsense|9\.9"):
        fill(Options, {"objects": [line]})


async def test_only_the_interfaces_asked_for_are_told(keep: Keep) -> None:
    with responding(Agent(SYSTEM | ports(12))) as agent:
        reading = await look(keep, agent.port, interfaces=("port1*",))
    assert parts(reading, "system.network.io.receive") == ["port1", "port10", "port11", "port12"]


async def test_names_are_read_seldom_and_values_at_each_look(keep: Keep) -> None:
    agent = Agent(SYSTEM | ports(10))
    with responding(agent) as line:
        await look(keep, line.port)
        first = len(agent.pdus)
        agent.pdus.clear()
        again = await look(keep, line.port)
    assert len(parts(again, "hw.network.up")) == 10
    assert len(agent.pdus) < first
    descr = ber.name("1.3.6.1.2.1.2.2.1.2")
    assert not any(name.startswith(descr) for pdu in agent.pdus for name, _, _ in pdu.bindings)


def test_a_restart_a_wrap_of_the_clock_and_a_slow_clock_are_told_apart() -> None:
    wrap = 2**32 / 100
    restarted = Start()
    assert not restarted.hear(1000.0, 1_000_000.0)
    assert not restarted.hear(1060.0, 1_000_060.0)
    assert restarted.hear(5.0, 1_000_120.0)
    wrapped = Start()
    wrapped.hear(wrap - 30, 1_000_000.0)
    told = wrapped.told()
    assert not wrapped.hear(30.0, 1_000_060.0)
    assert wrapped.told() == told
    slow = Start()
    slow.hear(1000.0, 1_000_000.0)
    told = slow.told()
    assert not slow.hear(1058.0, 1_000_060.0)
    assert slow.told() == told


# ---- vectors and refusals ----


def test_keys_are_those_of_the_rfc() -> None:
    """RFC 3414, sections A.3.1 and A.3.2."""
    engine = bytes.fromhex("000000000000000000000002")
    assert usm.stretched("MD5", "maplesyrup").hex() == "9faf3283884e92834ebc9847d8edd963"
    assert usm.auth_key("MD5", "maplesyrup", engine).hex() == "526f5eed9fcce26f8964c2930787d82b"
    assert usm.stretched("SHA-1", "maplesyrup").hex() == "9fb5cc0381497b3793528939ff788d5d79145211"
    assert usm.auth_key("SHA-1", "maplesyrup", engine).hex() == "6695febc9288e36282235fc7151f128497b38f3f"


@pytest.mark.parametrize("change", range(40, 140, 7))
def test_a_changed_octet_anywhere_breaks_the_digest(change: int) -> None:
    user = usm.User("sha256", "SHA-256", AUTH, "AES-128", PRIV)
    authority = usm.Authority(b"\x80\0\x1f\x88\x04test", 3, 100, time.monotonic())
    body = message.pdu(message.GET, message.LOWEST_ID, message.asks((ber.name("1.3.6.1.2.1.1.3.0"),)))
    sealed = usm.seal(user, authority, time.monotonic(), message.LOWEST_ID, body)
    at = change % len(sealed)
    broken = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
    with pytest.raises((usm.Unauthentic, ber.Malformed)):
        usm.verify(user, usm.read(broken))
    usm.verify(user, usm.read(sealed))


def test_messages_older_than_the_window_or_the_last_restart_are_refused() -> None:
    authority = usm.Authority(b"engine", 3, 1000, 50.0)
    authority.hear(3, 900, 50.0)
    with pytest.raises(usm.Unauthentic):
        authority.hear(3, 800, 50.0)
    with pytest.raises(usm.Unauthentic):
        authority.hear(2, 5000, 50.0)
    authority.hear(4, 1, 51.0)
    assert (authority.boots, authority.time) == (4, 1)


def test_an_empty_password_makes_no_key() -> None:
    with pytest.raises(ValueError, match="empty"):
        usm.stretched("SHA-256", "")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x02\x02\x00",
        b"\x30\x05\x02\x09" + b"\1" * 9,
        b"\x30\x03\x02\x01\x01",
    ],
)
def test_broken_octets_are_malformed_and_nothing_worse(octets: bytes) -> None:
    with pytest.raises(ber.Malformed):
        message.read(octets)


async def test_two_looks_on_one_socket_do_not_mix(keep: Keep, snmpd: Snmpd) -> None:
    with responding(Agent(SYSTEM | ports(20))) as agent:
        readings = await asyncio.gather(*(look(keep, port, deadline=8.0) for port in (snmpd.port, agent.port) * 5))
    assert [fact(reading, "host.name") for reading in readings] == ["tester", "small"] * 5


async def test_closing_the_engine_ends_what_waits() -> None:
    engine, place = Engine(), names.numeric("127.0.0.1")
    assert place is not None
    with responding(lambda data, source: []) as agent:
        asking = asyncio.ensure_future(
            engine.ask(place, agent.port, Community(1, b"x"), message.GET, [b"+\x06"], time.monotonic() + 20, Meter())
        )
        await asyncio.sleep(0.1)
        engine.close()
        with pytest.raises(Silent):
            await asking


@pytest.mark.parametrize("seed", [1, 2])
def test_harmed_answers_are_refused_or_say_what_was_asked(seed: int) -> None:
    told = fuzz.run(20_000, seed)
    assert told["not believed"] > 10_000
    assert told["believed"] > 100


async def test_what_cannot_be_written_is_not_shown_as_full(keep: Keep) -> None:
    entry, table = "1.3.6.1.2.1.25.2.3.1", "1.3.6.1.2.1.25.3.8.1"
    tree = dict(SYSTEM)
    for at, (mount, access) in enumerate((("/", 1), ("/media/iso", 2)), 31):
        tree |= {
            f"{entry}.2.{at}": (ber.OID, ber.name("1.3.6.1.2.1.25.2.1.4")),
            f"{entry}.3.{at}": words(mount),
            f"{entry}.4.{at}": whole(4096),
            f"{entry}.5.{at}": whole(1000),
            f"{entry}.6.{at}": whole(1000),
            f"{table}.5.{at - 30}": whole(access),
            f"{table}.7.{at - 30}": whole(at),
        }
    with responding(Agent(tree)) as agent:
        reading = await look(keep, agent.port)
    assert parts(reading, "system.filesystem.utilization") == ["/"]
