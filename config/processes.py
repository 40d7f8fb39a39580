"""Children that live and die with their parent: started, watched, brought back, never left behind."""

from __future__ import annotations

import ctypes
import logging
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_log = logging.getLogger("up")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to send `number` to this process when its parent is gone (Linux; elsewhere nothing)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def spawn(
    argv: Sequence[str | Path],
    *,
    user: str | None = None,
    death: int = signal.SIGKILL,
    env: dict[str, str] | None = None,
    quiet: bool = False,
) -> subprocess.Popen[bytes]:
    """A child in a session of its own (Ctrl-C reaches only the parent) that gets `death` when the parent dies.

    `user` is an account name to become first; only root may give one. Raises OSError as Popen does.
    """
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death)
        if os.getppid() != parent:  # the parent died before the request reached the kernel
            os._exit(1)

    account = pwd.getpwnam(user) if user else None
    return subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        env=env,
        cwd="/",
        start_new_session=True,
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=prepare,
    )


def stop(child: subprocess.Popen[bytes], number: int, patience: float) -> None:
    """Send `number`, wait `patience` seconds, then kill."""
    if child.poll() is not None:
        return
    child.send_signal(number)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@dataclass
class Kept:
    """A child that is brought back whenever it ends; the pause grows while it keeps failing (0.2 s to 10 s)."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    child: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    pause: float = field(default=0.2)

    def tend(self, now: float) -> None:
        """Bring the child back if it ended and its pause is over. `now` is monotonic seconds."""
        if self.child is not None and self.child.poll() is not None:
            self.pause = 0.2 if now - self.started > 10 else min(self.pause * 2, 10.0)
            _log.warning("%s ended (%s); it is brought back in %.1f s.", self.name, _ending(self.child), self.pause)
            self.child, self.not_before = None, now + self.pause
        if self.child is None and now >= self.not_before:
            self.child, self.started = self.start(), now

    def stop(self, patience: float = 10.0) -> None:
        """End it for good."""
        if self.child is not None:
            stop(self.child, signal.SIGTERM, patience)


def _ending(child: subprocess.Popen[bytes]) -> str:
    code = child.returncode
    return f"signal {-code}" if code < 0 else f"exit code {code}"
