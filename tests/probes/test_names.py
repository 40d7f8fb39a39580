"""Names while the resolver is well, ill, hanging and lying."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest
from talkers import within

from domain.reading import FailureKind
from probes import names
from probes.base import Keep
from probes.names import STALE, TTL, Names, Place, Unresolved, ask_system, is_this_machine, numeric

GOOD = Place("192.0.2.7", socket.AF_INET)
BETTER = Place("192.0.2.8", socket.AF_INET)


class Resolver:
    """A resolver whose answer the test decides, and the clock it lives by."""

    def __init__(self, answer: Callable[[], tuple[Place, ...]]) -> None:
        self.answer = answer
        self.time = 1000.0
        self.asked: list[str] = []

    def __call__(self, name: str) -> tuple[Place, ...]:
        self.asked.append(name)
        return self.answer()

    def names(self, patience: float = 5.0, stale_patience: float = 0.2) -> Names:
        return Names(self, lambda: self.time, patience, stale_patience)


def well() -> tuple[Place, ...]:
    return (GOOD,)


def denies() -> tuple[Place, ...]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def fails() -> tuple[Place, ...]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def test_an_answer_is_kept_for_a_minute_and_then_asked_for_again() -> None:
    resolver = Resolver(well)
    known = resolver.names()
    for _ in range(3):
        assert known.find("Web1.Example.") == (GOOD,)
    assert resolver.asked == ["web1.example"]
    resolver.answer = lambda: (BETTER,)
    resolver.time += TTL + 1
    assert known.find("web1.example") == (BETTER,)


@pytest.mark.parametrize("ill", [denies, fails])
def test_an_old_answer_is_used_for_a_day_while_the_resolver_is_ill(ill: Callable[[], tuple[Place, ...]]) -> None:
    resolver = Resolver(well)
    known = resolver.names()
    known.find("web1")
    resolver.answer = ill
    resolver.time += STALE - 10
    assert known.find("web1") == (GOOD,)
    resolver.time += 20
    with pytest.raises(Unresolved, match="not resolvable"):
        known.find("web1")


def test_thirty_looks_at_an_unknown_name_ask_once() -> None:
    resolver = Resolver(denies)
    known = resolver.names()
    for _ in range(30):
        with pytest.raises(Unresolved, match="no such name is known"):
            known.find("nowhere")
    assert len(resolver.asked) == 1
    resolver.time += 11
    resolver.answer = well
    assert known.find("nowhere") == (GOOD,)


def test_an_unresolvable_name_is_our_inability_and_never_a_down_host() -> None:
    with pytest.raises(Unresolved) as raised:
        Resolver(fails).names().find("web1")
    failure = raised.value.reading().failure
    assert failure is not None
    assert failure.kind is FailureKind.UNSUPPORTED
    assert failure.detail == "The name 'web1' is not resolvable: the resolver could not be reached or failed."


async def test_a_hanging_resolver_delays_known_names_little_and_eats_no_threads() -> None:
    release = threading.Event()
    hang = False

    def ask(name: str) -> tuple[Place, ...]:
        if hang:
            release.wait(60)
        return (GOOD,)

    time = 0.0
    known = Names(ask, lambda: time, patience=0.3, stale_patience=0.1)
    try:
        for n in range(100):
            assert known.find(f"host{n}") == (GOOD,)
        hang, time = True, TTL + 1
        stop = within(8)
        answers = await asyncio.gather(*(known.find_soon(f"host{n}") for n in range(100)))
        assert answers == [(GOOD,)] * 100
        outcomes = await asyncio.gather(*(known.find_soon(f"new{n}") for n in range(100)), return_exceptions=True)
        stop()
        assert all(isinstance(outcome, Unresolved) for outcome in outcomes)
        assert sum(thread.name == "names" for thread in threading.enumerate()) <= 8
    finally:
        release.set()
        known.close()


def test_a_look_on_a_thread_waits_no_longer_than_it_can_spare() -> None:
    release = threading.Event()
    known = Names(lambda name: (release.wait(60), (GOOD,))[1])
    try:
        stop = within(3)
        with pytest.raises(Unresolved, match="did not answer in time"):
            known.find("web1", limit=0.1)
        stop()
    finally:
        release.set()


def test_two_threads_asking_for_one_name_share_one_question() -> None:
    release = threading.Event()
    resolver = Resolver(lambda: (release.wait(10), (GOOD,))[1])
    known = resolver.names()
    found: list[tuple[Place, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(known.find("web1"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert found == [(GOOD,)] * 5
    assert len(resolver.asked) == 1


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%1", "fe80::1"),
    ],
)
def test_numeric_addresses_ask_no_one(text: str, address: str) -> None:
    resolver = Resolver(denies)
    (place,) = resolver.names().find(text)
    assert place.address == address
    assert place.scope == (1 if "%" in text else 0)
    assert not resolver.asked


@pytest.mark.parametrize("text", ["", "  ", "a b", "x" * 254, "\x1b[31m", "..", "a\x00b", "fe80::1%nosuch"])
def test_what_is_neither_name_nor_address_is_said_to_be_none(text: str) -> None:
    with pytest.raises(Unresolved) as raised:
        Names().find(text)
    assert str(raised.value).isprintable()


def test_a_family_can_be_asked_for() -> None:
    both = (GOOD, Place("2001:db8::1", socket.AF_INET6))
    known = Names(lambda name: both)
    assert known.find("web1", family="6") == both[1:]
    assert known.find("web1", family="any") == both
    with pytest.raises(Unresolved, match="no IPv6 address"):
        known.find("192.0.2.1", family="6")


def test_a_foreign_name_that_resolves_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lying(*args: object, **named: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("127.0.0.1", "0.0.0.0")]

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    with pytest.raises(Unresolved, match=r"'web1.example' is not resolvable: the resolver says 127\.0\.0\.1"):
        Names().find("web1.example")
    assert ask_system("localhost")[0].address == "127.0.0.1"


def test_this_machine_is_known_by_its_names() -> None:
    for name in ("localhost", "127.0.0.1", "::1", "[::1]", "127.9.9.9", "LOCALHOST.", socket.gethostname()):
        assert is_this_machine(name), name
    for name in ("example.org", "192.0.2.1", "localhost.example", "127.0.0.1.example"):
        assert not is_this_machine(name), name


def test_localhost_is_resolved_by_the_system() -> None:
    assert numeric("127.0.0.1") in names.of(Keep()).find("localhost") or numeric("::1") in names.of(Keep()).find(
        "localhost"
    )


def test_the_memory_for_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "NAMES_KEPT", 10)
    known = Names(lambda name: (GOOD,))
    for n in range(50):
        known.find(f"host{n}")
    assert len(known._known) == 10


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.1.1"])
def test_a_name_that_leads_to_where_clouds_keep_credentials_is_not_looked_at(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    row = (family, socket.SOCK_STREAM, 6, "", (address, 0))
    usual = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [row])
    with pytest.raises(Unresolved, match="credentials of machines"):
        ask_system("web1.example")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [row, usual])
    assert ask_system("web1.example") == (GOOD,), "the honest address of two is taken"


def test_an_odd_way_to_write_our_own_address_is_not_a_way_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("0x7f.1", "0177.0.0.1.example", "::ffff:127.0.0.1"):
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET6, 1, 6, "", ("::ffff:127.0.0.1", 0, 0, 0))]
        )
        if is_this_machine(name):
            continue
        with pytest.raises(Unresolved, match="Pantau runs on"):
            ask_system(name)
