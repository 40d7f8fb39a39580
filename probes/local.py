"""The machine Pantau itself runs on: the same script, given to /bin/sh on its standard input."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import subprocess
from dataclasses import dataclass

from domain.reading import Cost, FailureKind, Reading, Target
from probes import unix
from probes.base import Keep, Probe
from probes.limits import PROBE_BYTES, Deadline

SHELL = "/bin/sh"


@dataclass(frozen=True)
class Options:
    """Nothing to choose."""


class _Before:
    """The last snapshot, kept for ratios."""

    def __init__(self) -> None:
        self.snapshot: unix.Snapshot | None = None

    def close(self) -> None:
        """Nothing is held open."""


def look(target: Target, keep: Keep) -> Reading:
    """One look at ourselves."""
    before = keep.get(("local", "before"), _Before)
    nonce = secrets.token_hex(8)
    text = unix.DEFINE + unix.call(nonce, *(["twice"] if before.snapshot is None else []), "facts", "disks", "slow")
    output = _run(text.encode(), Deadline(target.deadline))
    if isinstance(output, Reading):
        return output
    cost = Cost(len(text), len(output))
    snapshot = unix.read(output.decode("utf-8", "replace"), nonce)
    if snapshot is None:
        return Reading.failed(FailureKind.UNSUPPORTED, f"{SHELL} here did not finish the script.", cost)
    reading = Reading(unix.measures(snapshot, before.snapshot), unix.facts(snapshot), cost=cost)
    before.snapshot = snapshot
    return reading


def _run(text: bytes, deadline: Deadline) -> bytes | Reading:
    """The script's output within deadline and cap, or why not."""
    try:
        child = subprocess.Popen(
            [SHELL, "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/", env={"PATH": os.environ.get("PATH", os.defpath)},
        )  # fmt: skip
    except OSError as error:
        return Reading.failed(FailureKind.UNSUPPORTED, f"{SHELL} cannot be started here: {error.strerror}.")
    with child:
        try:
            return _exchange(child, text, deadline)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, 9)


def _exchange(child: subprocess.Popen[bytes], text: bytes, deadline: Deadline) -> bytes | Reading:
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(text)
        child.stdin.close()
    output = bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not ready.select(deadline.remaining()):
                return Reading.failed(FailureKind.TIMEOUT, f"The script did not end within {deadline.seconds:g} s.")
            block = os.read(child.stdout.fileno(), 65536)
            if not block:
                return bytes(output)
            output += block
            if len(output) > PROBE_BYTES:
                return Reading.failed(FailureKind.UNSUPPORTED, "The script's answer is larger than 1 MiB.")


PROBE = Probe(kind="local", label="This machine", look=look, options=Options, produces=unix.PRODUCES)
