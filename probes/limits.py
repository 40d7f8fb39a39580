"""What every look runs inside: an absolute deadline, caps on bytes, inflating and redirects, clean values.

The time limits of libraries are per read, so a far side that drips one byte a second holds a thread for
ever. Here the clock is started once, and a socket still open when it runs out is shut down from outside.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import re
import socket
import threading
import time
import zlib
from types import TracebackType
from typing import Self

ANSWER_BYTES = 256 * 1024
"""The most bytes one answer may have."""
PROBE_BYTES = 1024 * 1024
"""The most bytes one look may receive in all, headers and redirects included."""
INFLATE_BYTES = 1024 * 1024
"""The most bytes a compressed answer may inflate to."""
INFLATE_FACTOR = 10
"""The most times its own size a compressed answer may inflate to, once it is larger than `INFLATE_FREE`."""
INFLATE_FREE = 64 * 1024
"""Inflating to this many bytes is harmless whatever the factor: short repetitive pages do it honestly."""
REDIRECTS = 3
"""The most redirects one look follows."""
TEXT_CHARACTERS = 256
"""The usual length cap of one text from a machine."""


class TooLate(Exception):
    """The deadline of the look has passed."""


class TooMuch(Exception):
    """The far side sent more than a cap allows; the text is a sentence for a person."""


class Deadline:
    """The moment a look must be over, on a clock no one can step."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def end(self) -> float:
        """The moment itself, as `time.monotonic` tells it."""
        return self._end

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())

    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self._end

    def check(self) -> float:
        """Seconds left, above 0; raises TooLate when there are none. For a socket's own time limit."""
        left = self.remaining()
        if left <= 0:
            raise TooLate(f"not finished after {self.seconds:g} s")
        return left


class _Reaper:
    """One thread that fires guards at their moment; started with the first guard."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, guard: Guard, end: float) -> None:
        with self._changed:
            heapq.heappush(self._due, (end, next(self._order), guard))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            elif self._due[0][2] is guard:
                self._changed.notify()

    def forget(self) -> None:
        """Throw out released guards once they are the larger half, so a long deadline costs no memory."""
        with self._changed:
            if len(self._due) > 64 and sum(g.released for _, _, g in self._due) * 2 > len(self._due):
                self._due = [item for item in self._due if not item[2].released]
                heapq.heapify(self._due)

    def _run(self) -> None:
        while True:
            with self._changed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                guard = heapq.heappop(self._due)[2]
            guard.fire()


_reaper = _Reaper()


class Guard:
    """Shuts down the sockets it holds at the deadline, even while bytes still drip in; a context manager.

    It holds a duplicate of each socket's descriptor, so a library may wrap, detach or close the original
    without the guard losing the line or ever touching a descriptor that by then belongs to another look.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._held: list[socket.socket] = []
        self._lock = threading.Lock()
        self.fired = False
        self.released = False

    def hold(self, line: socket.socket) -> None:
        """Watch over `line` as well; shut down at once when the deadline has already passed."""
        with self._lock:
            if self.released:
                raise ValueError("this guard has been released")
            self._held.append(socket.socket(line.family, line.type, line.proto, fileno=_duplicate(line)))
            if self.fired:
                self._shut()

    def let_go(self) -> None:
        """Stop watching what is held now; a line its owner closed is closed for the far side only then."""
        with self._lock:
            self._close()

    def fire(self) -> None:
        """Shut everything held down, unless the look is over."""
        with self._lock:
            if not self.released:
                self.fired = True
                self._shut()

    def __enter__(self) -> Self:
        _reaper.add(self, self._deadline.end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self.released = True
            self._close()
        _reaper.forget()

    def _shut(self) -> None:
        for line in self._held:
            with contextlib.suppress(OSError):  # not connected any more: as good as shut
                line.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        for line in self._held:
            line.close()
        self._held.clear()


def _duplicate(line: socket.socket) -> int:
    return int(socket.dup(line.fileno()))  # works on Windows too, where os.dup does not


class Meter:
    """Counts what one look takes from the line and stops it at a cap."""

    __slots__ = ("cap", "received", "sent")

    def __init__(self, cap: int = PROBE_BYTES) -> None:
        self.sent = 0
        self.received = 0
        self.cap = cap

    def take(self, count: int) -> None:
        """Count `count` bytes received; raises TooMuch past the cap."""
        self.received += count
        if self.received > self.cap:
            raise TooMuch(f"sent more than {self.cap // 1024} KiB in one look")


def inflate(data: bytes, encoding: str) -> bytes:
    """`data` unpacked from the HTTP content coding `encoding` (RFC 9110, section 8.4.1) within the caps.

    Raises TooMuch past a cap and ValueError for a coding we do not know or data that is not of it.
    A body cut short unpacks to what it holds.
    """
    coding = encoding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise ValueError(f"packed with '{clean(coding, 32)}', which was not asked for")
    cap = min(INFLATE_BYTES, max(INFLATE_FREE, INFLATE_FACTOR * len(data)))
    for bits in (31,) if coding != "deflate" else (15, -15):  # deflate is sent with and without a zlib header
        unpack = zlib.decompressobj(bits)
        try:
            plain = unpack.decompress(data, cap + 1)
        except zlib.error:
            continue
        if len(plain) > cap:
            raise TooMuch(f"inflates to more than {cap // 1024} KiB from {len(data)} bytes")
        return plain
    raise ValueError(f"is not the {coding} it says it is")


# C0 and C1 controls, lone surrogates, line and paragraph separators, and the marks that turn the reading
# direction around: each lets a machine forge what a log, a mail or a page seems to say.
_UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_UNCLEAN_LINES = re.compile(_UNCLEAN.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def clean(text: str | bytes, limit: int = TEXT_CHARACTERS, *, lines: bool = False) -> str:
    """Text from a machine made harmless: at most `limit` characters, the unshowable replaced by U+FFFD.

    Replaced are control characters, NUL, invalid UTF-8, lone surrogates and direction marks. Tabs and line
    ends become single spaces, or stay when `lines` is true. The ends are stripped.
    """
    if isinstance(text, bytes):
        text = text[: limit * 4 + 4].decode("utf-8", "replace")
    text = text[: limit * 2 + 2].strip()  # long enough for the stripping below, short enough to be cheap
    if lines:
        text = _UNCLEAN_LINES.sub("\ufffd", text.replace("\r\n", "\n"))
    else:
        text = _UNCLEAN.sub("\ufffd", re.sub(r"[\t\r\n]+", " ", text))
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "…"


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def number(value: object, low: float = -math.inf, high: float = math.inf) -> float | None:
    """`value` (a number or its plain decimal text) as a finite float in `low`..`high`, or None.

    NaN, infinities, booleans, and anything Python would read but people would not write (1_000, full-width
    digits) are refused.
    """
    if isinstance(value, str):
        value = value.strip() if len(value) <= 400 else ""
        if not _NUMBER.fullmatch(value):
            return None
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and low <= found <= high else None
