"""What machines say unasked: real snmptrap and logger speak, PostgreSQL takes the notes, and nobody can flood them."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.health import Policy
from domain.heard import Note
from domain.inventory import Host
from domain.reading import Secret, Target
from poller import ears
from poller.ears import Ears
from poller.plan import CheckPlan, HostPlan, Plan
from probes import catalogue, snmp, syslog
from probes.base import Keep
from tests.ports import free_port
from tests.roles import as_role

AUTH, PRIV = "authentic-12", "private-1234"
WORD = "trap-word"


@dataclass
class Listening:
    """Ears that are open, and whom they made us look at."""

    ears: Ears
    traps: int
    syslog: int
    looked: list[HostPlan] = field(default_factory=list)


def watched(session: Session, address: str = "127.0.0.1") -> Plan:
    """A switch with an SNMP check by community and one by user."""
    host = Host(name="switch", address=address)
    session.add(host)
    session.commit()
    probe = catalogue()["snmp"]
    checks = tuple(
        CheckPlan(at, host.id, "snmp", f"snmp {at}", probe, options, secret, None, 60, 10, True)
        for at, (options, secret) in enumerate(
            (
                (snmp.Options(), Secret(password=WORD)),
                (snmp.Options(auth="SHA-1"), Secret("watcher", AUTH, passphrase=PRIV)),
            )
        )
    )
    plan = HostPlan(host.id, "switch", address, Policy(60, 3, 1), checks, ())
    return Plan({host.id: plan})


@asynccontextmanager
async def listening(url: str, plan: Plan) -> AsyncIterator[Listening]:
    looked: list[HostPlan] = []
    keep = Keep()
    traps, lines = free_port(), free_port()
    opened = Ears(as_role(url, "poller"), keep, looked.append, ("127.0.0.1", traps), ("127.0.0.1", lines))
    await opened.open()
    await opened.plan(plan)
    writing = asyncio.create_task(opened.write())
    try:
        yield Listening(opened, traps, lines, looked)
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        opened.close()
        keep.close()


async def run(*words: str) -> None:
    """A program that speaks."""
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


async def said(session: Session, count: int = 1) -> list[Note]:
    """The notes in PostgreSQL, once there are so many."""
    for _ in range(60):
        session.rollback()
        notes = list(session.scalars(select(Note).order_by(Note.id)))
        if len(notes) >= count:
            return notes
        await asyncio.sleep(0.1)
    raise AssertionError(f"{len(notes)} notes instead of {count}: {[note.text for note in notes]}")


LINK_DOWN = ("1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1.7", "i", "7", "1.3.6.1.2.1.2.2.1.2.7", "s", "Gi1/0/7")


async def test_a_link_that_goes_down_is_noted_and_the_machine_looked_at_at_once(
    database_url: str, session: Session
) -> None:
    async with listening(database_url, watched(session)) as heard:
        await run("snmptrap", "-v2c", "-c", WORD, f"127.0.0.1:{heard.traps}", "", *LINK_DOWN)
        (note,) = await said(session)
        assert (note.source, note.severity) == ("trap", 4)
        assert note.text == "An interface went down (linkDown): Gi1/0/7."
        assert [host.name for host in heard.looked] == ["switch"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("snmptrap", "-v1", "-c", WORD, "AT", "1.3.6.1.4.1.318", "10.0.0.9", "6", "5", "100"), "runs on battery (upsOnBattery)"),
        (("snmptrap", "-v1", "-c", WORD, "AT", "1.3.6.1.4.1.9", "10.0.0.9", "0", "0", "100"), "coldStart"),
        (("snmpinform", "-v2c", "-c", WORD, "-r", "0", "AT", "", "1.3.6.1.6.3.1.1.5.5"), "authenticationFailure"),
        (("snmptrap", "-v2c", "-c", WORD, "AT", "", "1.3.6.1.2.1.33.2.1"), "upsTrapOnBattery"),
        (("snmptrap", "-v2c", "-c", WORD, "AT", "", "1.3.6.1.4.1.7.7", "1.3.6.1.4.1.7.8.0", "s", "<b>full\x07"), "1.3.6.1.4.1.7.8.0 = <b>full"),
    ],
)  # fmt: skip
async def test_traps_of_every_version_say_what_they_mean(
    database_url: str, session: Session, words: tuple[str, ...], text: str
) -> None:
    async with listening(database_url, watched(session)) as heard:
        await run(*(f"127.0.0.1:{heard.traps}" if word == "AT" else word for word in words))
        (note,) = await said(session)
        assert text in note.text
        assert "\x07" not in note.text


async def test_a_trap_of_version_3_is_believed_only_from_the_user_and_at_the_level_of_a_check(
    database_url: str, session: Session
) -> None:
    async with listening(database_url, watched(session)) as heard:
        at = f"127.0.0.1:{heard.traps}"
        trap = ("-e", "0x8000000001020304", at, "", "1.3.6.1.6.3.1.1.5.4")
        good = ("-u", "watcher", "-a", "SHA", "-A", AUTH, "-x", "AES", "-X", PRIV)
        await run("snmptrap", "-v3", "-l", "authNoPriv", *good[:6], *trap)
        await run("snmptrap", "-v3", "-l", "authPriv", *good[:4], "-A", "another-password", *good[6:], *trap)
        await run("snmptrap", "-v3", "-l", "noAuthNoPriv", "-u", "watcher", *trap)
        await run("snmptrap", "-v3", "-l", "authPriv", "-u", "nobody", *good[2:], *trap)
        await run("snmptrap", "-v3", "-l", "authPriv", *good, *trap)
        (note,) = await said(session)
        assert "linkUp" in note.text
        assert heard.ears.counts.refused == 4
        assert len(heard.looked) == 1


async def test_a_wrong_community_a_stranger_and_rubbish_are_counted_and_change_nothing(
    database_url: str, session: Session
) -> None:
    async with listening(database_url, watched(session)) as heard:
        await run("snmptrap", "-v2c", "-c", "public", f"127.0.0.1:{heard.traps}", "", *LINK_DOWN)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for data in (b"", b"\x30\x80", b"rubbish" * 100):
                line.sendto(data, ("127.0.0.1", heard.traps))
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stranger.bind(("127.0.0.9", 0))
            stranger.sendto(b"<3>I am not watched", ("127.0.0.1", heard.syslog))
            stranger.close()
        await asyncio.sleep(1)
        assert (heard.ears.counts.refused, heard.ears.counts.strangers) == (4, 1)
        assert heard.looked == []
        assert list(session.scalars(select(Note))) == []


async def test_a_storm_is_held_to_a_few_notes_and_one_look(database_url: str, session: Session) -> None:
    async with listening(database_url, watched(session)) as heard:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for at in range(500):
                line.sendto(f"<3>disk error {at}".encode(), ("127.0.0.1", heard.syslog))
                await asyncio.sleep(0)
        notes = await said(session, ears.NOTES_AT_ONCE)
        await asyncio.sleep(1)
        assert len(notes) == ears.NOTES_AT_ONCE
        assert heard.ears.counts.syslog == 500
        (speaker,) = heard.ears._speakers.values()
        assert speaker.more == 500 - ears.NOTES_AT_ONCE
        speaker.noted -= ears.NOTE_EVERY
        await run("logger", "-n", "127.0.0.1", "-P", str(heard.syslog), "-d", "-p", "daemon.err", "the last one")
        *_, more, last = await said(session, ears.NOTES_AT_ONCE + 2)
        assert (more.text, "the last one" in last.text) == (
            "470 more messages came meanwhile and were not noted.",
            True,
        )


@pytest.mark.parametrize("how", [("-d",), ("-T",), ("-d", "--rfc3164"), ("-T", "--octet-count")])
async def test_syslog_is_heard_over_both_transports_and_in_both_forms(
    database_url: str, session: Session, how: tuple[str, ...]
) -> None:
    async with listening(database_url, watched(session)) as heard:
        await run(
            "logger",
            "-n",
            "127.0.0.1",
            "-P",
            str(heard.syslog),
            "-p",
            "daemon.err",
            "-t",
            "backup",
            *how,
            "tape is full",
        )
        (note,) = await said(session)
        assert (note.source, note.severity) == ("syslog", 3)
        assert "tape is full" in note.text
        assert "backup" in note.text


async def test_a_syslog_check_counts_what_came_since_the_last_look(database_url: str, session: Session) -> None:
    plan = watched(session)
    async with listening(database_url, plan) as heard:
        target = Target("127.0.0.1", syslog.Options(words=("Backup failed",)))
        assert syslog.look(target, heard.ears.keep).failure is None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for data in (b"<30>all is well", b"<27>backup FAILED on tape 2", b"<27>disk", b"no priority at all"):
                line.sendto(data, ("127.0.0.1", heard.syslog))
        await asyncio.sleep(0.3)
        values: dict[str, Any] = {m.name: m.value for m in syslog.look(target, heard.ears.keep).measures}
        assert values == {"syslog.messages": 4, "syslog.messages.bad": 2, "syslog.messages.found": 1}
        assert {m.value for m in syslog.look(target, heard.ears.keep).measures} == {0}


async def test_a_machine_cannot_take_the_lines_of_the_others_and_one_that_hangs_up_at_once_does_no_harm(
    database_url: str, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(database_url, watched(session)) as heard:
        lines = [socket.create_connection(("127.0.0.1", heard.syslog)) for _ in range(ears.STREAMS_EACH + 3)]
        await asyncio.sleep(0.3)
        for line in lines[-3:]:
            assert await asyncio.to_thread(line.recv, 1) == b""
        for line in lines:
            line.close()
        await asyncio.sleep(0.3)
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", heard.syslog)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.5)
        await run("logger", "-n", "127.0.0.1", "-P", str(heard.syslog), "-T", "-p", "daemon.err", "after all that")
        (note,) = await said(session)
        assert "after all that" in note.text
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_a_poller_that_stops_hangs_up_on_who_is_still_talking(
    database_url: str, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    async def hear() -> socket.socket:
        async with listening(database_url, watched(session)) as heard:
            line = socket.create_connection(("127.0.0.1", heard.syslog))
            line.sendall(b"<3>half a line")
            await asyncio.sleep(0.3)
            return line

    with await asyncio.to_thread(asyncio.run, hear()) as line:  # a loop of its own, that ends
        assert line.recv(1) == b""
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def test_the_text_of_the_ears_holds_no_secret(database_url: str, session: Session) -> None:
    async with listening("postgresql://pantau:hidden-word@127.0.0.1:1/nowhere", watched(session)) as heard:
        assert WORD not in repr(heard.ears)
        assert "hidden-word" not in repr(heard.ears)


async def test_notes_wait_while_postgresql_is_away(session: Session) -> None:
    async with listening("postgresql://127.0.0.1:1/nowhere", watched(session)) as heard:
        await run("snmptrap", "-v2c", "-c", WORD, f"127.0.0.1:{heard.traps}", "", *LINK_DOWN)
        await asyncio.sleep(1.5)
        assert len(heard.looked) == 1  # hearing does not need it
        assert len(heard.ears._notes) == 1


async def test_a_port_that_is_taken_is_told_in_a_sentence(database_url: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        taken = Ears(
            as_role(database_url, "poller"), Keep(), lambda host: None, ("127.0.0.1", line.getsockname()[1]), None
        )
        with pytest.raises(OSError, match=r"cannot listen at 127\.0\.0\.1 port"):
            await taken.open()


def test_without_a_listener_a_syslog_check_says_what_to_set() -> None:
    reading = syslog.look(Target("127.0.0.1", syslog.Options()), Keep())
    assert reading.failure is not None
    assert "PANTAU_SYSLOG" in reading.failure.detail
