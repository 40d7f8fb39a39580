"""The bounds every look runs inside."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkers import Talker, dripping, silent, talking, within
from webpeers import Authority

from probes.limits import (
    INFLATE_BYTES,
    INFLATE_FREE,
    Deadline,
    Guard,
    Meter,
    TooLate,
    TooMuch,
    clean,
    inflate,
    number,
)


def take_all(line: socket.socket) -> int:
    """Read until the end; how many bytes came."""
    count = 0
    while part := line.recv(4096):
        count += len(part)
    return count


def test_a_deadline_counts_down_and_is_then_over() -> None:
    deadline = Deadline(0.05)
    assert 0 < deadline.check() <= 0.05
    time.sleep(0.06)
    assert deadline.remaining() == 0 and deadline.passed()
    with pytest.raises(TooLate, match=r"0\.05 s"):
        deadline.check()


def test_a_dripping_line_is_shut_at_the_deadline() -> None:
    stop = within(3)
    with talking(dripping(b"x", 0.02)) as peer, Guard(Deadline(0.4)) as guard:
        with socket.create_connection(("127.0.0.1", peer.port), timeout=60) as line:
            guard.hold(line)
            assert take_all(line) > 3
        assert guard.fired
    stop()


def test_a_line_wrapped_after_it_was_held_is_shut_too(tmp_path: Path) -> None:
    context, _ = Authority(tmp_path).server("127.0.0.1")
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    def speech(talker: Talker, line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as wrapped:
            dripping(b"x", 0.02)(talker, wrapped)

    stop = within(4)
    with talking(speech) as peer, Guard(Deadline(0.8)) as guard:
        line = socket.create_connection(("127.0.0.1", peer.port), timeout=60)
        guard.hold(line)
        # An end without a goodbye is an error to some versions of OpenSSL.
        with trusting.wrap_socket(line) as wrapped, contextlib.suppress(ssl.SSLError):
            take_all(wrapped)
        assert guard.fired
    stop()


def test_a_line_held_after_the_deadline_is_shut_at_once() -> None:
    with (
        talking(silent) as peer,
        Guard(Deadline(0.05)) as guard,
        socket.create_connection(("127.0.0.1", peer.port), timeout=60) as line,
    ):
        while not guard.fired:
            time.sleep(0.01)
        guard.hold(line)
        assert take_all(line) == 0


def test_the_line_of_a_finished_look_is_left_alone() -> None:
    def speech(talker: Talker, line: socket.socket) -> None:
        talker.pause(0.4)
        line.sendall(b"late")

    with talking(speech) as peer, socket.create_connection(("127.0.0.1", peer.port), timeout=10) as line:
        with Guard(Deadline(0.15)) as guard:
            guard.hold(line)
        assert take_all(line) == 4
        assert not guard.fired


def test_a_descriptor_used_again_by_another_look_is_left_alone() -> None:
    def later(talker: Talker, line: socket.socket) -> None:
        talker.pause(0.4)
        line.sendall(b"mine")

    with talking(silent) as peer, talking(later) as other, Guard(Deadline(0.15)) as guard:
        first = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
        guard.hold(first)
        number_of_first = first.fileno()
        first.close()
        with socket.create_connection(("127.0.0.1", other.port), timeout=10) as second:
            assert second.fileno() == number_of_first
            assert take_all(second) == 4
        assert guard.fired


def test_closing_ends_the_line_for_the_far_side_once_it_is_let_go() -> None:
    gone = threading.Event()

    def speech(talker: Talker, line: socket.socket) -> None:
        if not line.recv(1):
            gone.set()

    with talking(speech) as peer, Guard(Deadline(30)) as guard:
        line = socket.create_connection(("127.0.0.1", peer.port), timeout=10)
        guard.hold(line)
        line.close()
        guard.let_go()
        assert gone.wait(5)


def test_many_guards_share_one_thread_and_fire_each_in_time() -> None:
    stop = within(8)
    with talking(silent) as peer:

        def one(seconds: float) -> None:
            with (
                Guard(Deadline(seconds)) as guard,
                socket.create_connection(("127.0.0.1", peer.port), timeout=60) as line,
            ):
                guard.hold(line)
                assert take_all(line) == 0 and guard.fired

        threads = [threading.Thread(target=one, args=(0.2 + 0.01 * n,)) for n in range(60)]
        for thread in threads:
            thread.start()
        assert sum(thread.name == "deadlines" for thread in threading.enumerate()) <= 1
        for thread in threads:
            thread.join()
    stop()


def test_a_meter_stops_at_its_cap() -> None:
    meter = Meter(cap=2048)
    meter.take(2048)
    with pytest.raises(TooMuch, match="more than 2 KiB"):
        meter.take(1)


def test_inflating_is_bounded_by_size_and_by_factor() -> None:
    assert inflate(zlib.compress(b"a" * INFLATE_FREE), "deflate") == b"a" * INFLATE_FREE
    with pytest.raises(TooMuch, match="64 KiB"):
        inflate(zlib.compress(b"a" * (INFLATE_FREE + 1)), "deflate")
    honest = bytes(hash((n, "x")) & 255 for n in range(200_000))
    assert inflate(zlib.compress(honest), "deflate") == honest
    with pytest.raises(TooMuch, match="1024 KiB"):
        inflate(zlib.compress(honest * 7, 1), "deflate")
    assert len(honest) * 7 > INFLATE_BYTES


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", "br", "identity", "", "\x00"]))
def test_inflating_anything_ends_in_bytes_or_in_a_sentence(data: bytes, encoding: str) -> None:
    try:
        assert isinstance(inflate(data, encoding), bytes)
    except (TooMuch, ValueError) as error:
        assert str(error).isprintable()


@given(st.one_of(st.text(alphabet=st.characters(), max_size=600), st.binary(max_size=900)), st.integers(1, 300))
def test_cleaned_text_is_short_and_safe_for_logs_pages_and_postgresql(text: str | bytes, limit: int) -> None:
    once = clean(text, limit)
    assert len(once) <= limit
    once.encode("utf-8")
    assert "\x00" not in once and "\x1b" not in once and "\n" not in once
    assert clean(once, limit) == once.strip()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("  plain text \r\n", "plain text"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        ("a\x1b[31mred\x1b[0m", "a\ufffd[31mred\ufffd[0m"),
        ("nul\x00byte", "nul\ufffdbyte"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("evil \u202etxt.exe", "evil \ufffdtxt.exe"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("\x9b1m c1", "\ufffd1m c1"),
    ],
)
def test_what_cannot_be_shown_is_replaced(raw: str | bytes, shown: str) -> None:
    assert clean(raw) == shown


def test_lines_are_kept_where_they_are_wanted_and_long_text_is_marked_as_cut() -> None:
    assert clean("a\r\nb\tc\x07", lines=True) == "a\nb\tc\ufffd"
    assert clean("x" * 999, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("raw", "read"),
    [(3, 3.0), ("3.5", 3.5), (" -2e3 ", -2000.0), (".5", 0.5), ("7.", 7.0), (2**64, 2.0**64)],
)
def test_honest_numbers_are_read(raw: object, read: float) -> None:
    assert number(raw) == read


@pytest.mark.parametrize(
    "raw",
    [
        "nan",
        "inf",
        "-Infinity",
        math.nan,
        math.inf,
        "1e999",
        "1_000",
        "٣",
        "0x10",
        "",
        "12 V",
        True,
        None,
        b"1",
        10**400,
        "9" * 500,
    ],
)
def test_what_is_not_a_finite_number_is_refused(raw: object) -> None:
    assert number(raw) is None


def test_numbers_outside_their_range_are_refused() -> None:
    assert number("-1", low=0) is None
    assert number(101, 0, 100) is None
    assert number(100, 0, 100) == 100
