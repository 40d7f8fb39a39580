"""SNMP agents that mean harm: what they say may cost them their values, and Pantau neither memory nor its temper."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from snmpagents import COMMUNITY, SYSTEM, Agent, ports, responding, whole

from domain.reading import Reading, Secret, Target
from probes import snmp
from probes.base import Keep
from probes.snmp import Options, ber, message, usm
from probes.snmp.device import Device
from probes.snmp.usm import User
from probes.snmp.voice import Known


async def look(keep: Keep, port: int, deadline: float = 3.0, **options: object) -> Reading:
    return await snmp.look(
        Target("127.0.0.1", Options(port, **options), Secret(password=COMMUNITY), deadline),  # type: ignore[arg-type]
        keep,
    )


def fact(reading: Reading, name: str, of: str = "") -> str:
    return next((f.value for f in reading.facts if (f.name, f.of) == (name, of)), "")


def parts(reading: Reading, name: str) -> list[str]:
    return [m.of for m in reading.measures if m.name == name]


def memory() -> float:
    """MiB this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_long_names_of_rows_do_not_fill_the_memory() -> None:
    before = memory()
    for at in range(20_000):
        name = ber.index((at + 2**20, *range(2**20, 2**20 + 127)))
        assert len(ber.parts(name)) == 128
    for at in range(2_000):
        last = tuple(b"\x2b" + ber.index((column, at + 2**20, *range(2**20, 2**20 + 120))) for column in range(12))
        message.template(message.V2C, b"word", message.GET_BULK, last, 0, 4)
    assert memory() - before < 24


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("auth", ["", "SHA-256"])
def test_an_answer_encrypted_though_asked_in_the_clear_is_not_believed(auth: str, known: bool) -> None:
    engine = usm.Authority(b"\x80\0\0\0\1", 1, 1, 1.0)
    voice = Known(User("watcher", auth, "password-1" if auth else ""))
    if known:
        voice.authority = engine
    harm = User("watcher", "SHA-1", "another-password", "AES-128", "another-password")
    with pytest.raises(usm.Unauthentic):
        voice.open(usm.seal(harm, engine, 1.0, 2**24, message.pdu(message.REPORT, 2**24, message.asks(()))))


@pytest.mark.parametrize(
    "uptime", [whole(2**63, ber.COUNTER64), whole(-(2**40)), (ber.OPAQUE, b"\x9f\x79\x08\x7e\x37" + bytes(6))]
)
async def test_an_uptime_longer_than_any_machine_is_no_uptime(keep: Keep, uptime: tuple[int, bytes]) -> None:
    harm = {"1.3.6.1.2.1.1.3.0": uptime, "1.3.6.1.2.1.25.1.1.0": uptime}
    with responding(Agent(SYSTEM | ports(1) | harm)) as agent:
        reading = await look(keep, agent.port)
    assert reading.failure is None
    assert parts(reading, "system.uptime") == []
    assert fact(reading, "host.boot.id") == ""


async def test_interfaces_that_are_others_at_each_look_are_forgotten(keep: Keep) -> None:
    agent = Agent(SYSTEM | ports(1))
    with responding(agent) as line:
        for first in range(1, 200, 40):
            agent.set(SYSTEM | ports(40, first))
            await look(keep, line.port)
    (device,) = [keep.peek(key) for key in keep.keys() if len(key) == 4]  # noqa: SIM118 - a Keep is no dict
    assert isinstance(device, Device)
    assert {index for index, _ in device.memory["octets"]} == {(at,) for at in range(161, 201)}


async def test_a_number_that_is_none_is_told_as_text(keep: Keep) -> None:
    tree = {
        "1.3.6.1.4.1.9.1.0": (ber.OPAQUE, b"\x9f\x78\x04\x7f\xc0\0\0"),
        "1.3.6.1.4.1.9.2.0": (ber.OPAQUE, b"\x9f\x78\x04\x7f\x80\0\0"),
    }
    with responding(Agent(SYSTEM | tree)) as agent:
        reading = await look(keep, agent.port, objects=("A = 1.3.6.1.4.1.9.1.0", "B = 1.3.6.1.4.1.9.2.0"))
    assert parts(reading, "snmp.value") == []
    assert (fact(reading, "snmp.value", "A"), fact(reading, "snmp.value", "B")) == ("nan", "inf")


async def test_two_looks_at_one_device_take_turns_and_one_that_waits_in_vain_says_so(keep: Keep) -> None:
    class Slow(Agent):
        def __call__(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
            time.sleep(0.15)
            return super().__call__(data, source)

    with responding(Slow(SYSTEM | ports(3))) as agent:
        first, second, third = await asyncio.gather(
            look(keep, agent.port, 8.0), look(keep, agent.port, 8.0), look(keep, agent.port, 0.5)
        )
    assert (first.failure, second.failure) == (None, None)
    assert len(parts(second, "hw.network.up")) == 3
    assert third.failure is not None
    assert "Another look at this agent" in third.failure.detail
