"""A process beside the notifier that speaks Apprise: one request a line, one answer a line, judged addresses only.

Apprise's services wait per read, follow redirects and the environment's proxies, and know ways to the desktop and to
files. So they run here, where nothing can hang longer than the parent lets us live, where every connection is judged
before it is made, and where only services that speak HTTP are let in. Started by `anything`; never imported for its effects.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from probes import line
from probes.doors import Doors

IDLE = 120.0
"""Seconds without a request after which this process ends by itself."""
ANSWER = 256 * 1024
"""The most bytes of one answer."""


class _Shut(OSError):
    """An address nobody is led to."""


@dataclass
class _Now:
    """The request under way."""

    doors: Doors = field(default_factory=Doors)
    loopback: bool = False
    until: float = 0.0
    statuses: list[tuple[int, str]] = field(default_factory=list)
    trouble: str = ""
    shut: str = ""

    def left(self) -> float:
        """Seconds for the next wait, at least a breath."""
        return max(0.05, self.until - time.monotonic())

    def judge(self, address: Any) -> None:
        """Raises _Shut where nobody may be led."""
        if not isinstance(address, tuple) or len(address) < 2:
            raise _Shut("no network address")
        try:
            why = self.doors.why_not(str(address[0]), int(address[1]), loopback=self.loopback)
        except ValueError:
            why = "which is not a numeric address"
        if why:
            self.shut = f"Pantau does not ask {address[0]} on port {address[1]}, {why}."
            raise _Shut(self.shut)


_now = _Now()


class _Judged(socket.socket):
    """A socket that goes only where it may."""

    def connect(self, address: Any) -> None:
        _now.judge(address)
        self.settimeout(_now.left())
        super().connect(address)

    def connect_ex(self, address: Any) -> int:
        _now.judge(address)
        return super().connect_ex(address)


def main() -> None:
    """Answer requests from standard input until it ends. Words of libraries go to nobody."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="ascii")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # whatever a library prints must not look like an answer
    os.dup2(nowhere, 2)
    socket.socket = _Judged  # type: ignore[misc]
    speak = _apprise()
    while True:
        idle = threading.Timer(IDLE, os._exit, (0,))
        idle.daemon = True
        idle.start()
        asked = sys.stdin.readline()
        idle.cancel()
        if not asked:
            return
        answers.write(json.dumps(_one(speak, json.loads(asked))) + "\n")


def _one(speak: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """One delivery."""
    doors = Doors((str(address), int(port)) for address, port in asked["shut"])
    global _now
    _now = _Now(doors, bool(asked["loopback"]), time.monotonic() + float(asked["seconds"]))
    try:
        known, taken = speak(asked)
    except Exception as error:  # noqa: BLE001  the border of one delivery: a service's own fault is no reason to end
        known, taken = True, False
        _now.trouble = _now.trouble or type(error).__name__
    status, retry = _now.statuses[-1] if _now.statuses else (0, "")
    return {"known": known, "taken": taken, "status": status, "retry": retry, "why": _now.trouble, "shut": _now.shut}


def _apprise() -> Any:
    """Apprise with its hands bound; imported only here, for it takes time and room."""
    import apprise
    import requests

    real = requests.Session.request

    def request(self: requests.Session, method: str, url: str, **how: Any) -> requests.Response:
        self.trust_env = False
        how |= {"allow_redirects": False, "timeout": _now.left(), "stream": True}
        if how.get("verify", True) is True:
            how["verify"] = line.authorities()
        try:
            response = real(self, method, url, **how)
            _now.statuses.append((response.status_code, response.headers.get("Retry-After", "")))
            body = response.raw.read(ANSWER, decode_content=True)
        except Exception as error:
            _now.trouble = _inner(error)
            raise
        response._content, response._content_consumed = body, True  # type: ignore[attr-defined]
        return response

    requests.Session.request = request  # type: ignore[assignment]
    asset = apprise.AppriseAsset(
        plugin_paths=[], storage_mode=apprise.PersistentStoreMode.MEMORY, allow_templates=False, service_timeout=30.0
    )
    asset.app_id, asset.app_desc, asset.app_url = "Pantau", "Pantau", ""
    asset.image_url_mask = asset.image_url_logo = ""
    asset.async_mode, asset.http_redirects, asset.secure_logging = False, False, True

    def speak(asked: dict[str, Any]) -> tuple[bool, bool]:
        service = apprise.Apprise.instantiate(asked["url"], asset=asset, suppress_exceptions=True)
        allowed = set(asked["schemes"])
        if service is None or allowed.isdisjoint(_schemes(service)):
            return False, False
        teller = apprise.Apprise(asset=asset)
        teller.add(service)
        kind = asked["kind"]
        return True, bool(
            teller.notify(asked["body"], asked["title"], notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        )

    return speak


def _schemes(service: Any) -> set[str]:
    """The schemes a service answers to."""
    found: set[str] = set()
    for name in ("protocol", "secure_protocol"):
        value = getattr(service, name, None)
        found |= {value} if isinstance(value, str) else set(value or ())
    return found


def _inner(error: BaseException) -> str:
    """What went wrong below, in words that hold no address: the system's, or the kind of the error."""
    seen = 0
    while seen < 8:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in getattr(error, "args", ()) if isinstance(arg, BaseException)), None)
        inner = inner or error.__cause__
        if inner is None:
            break
        error, seen = inner, seen + 1
    if isinstance(error, socket.gaierror):
        return "the name has no address"
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return "no answer in time"
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else type(error).__name__


if __name__ == "__main__":
    main()
