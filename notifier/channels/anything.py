"""Everything else there is: chats, push services, SMS and voice, by a URL of Apprise."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from domain.options import option
from notifier.channels import words
from notifier.channels.base import Channel, Sending, Sent, Undelivered
from notifier.channels.road import Answer
from probes import doors
from probes.base import Keep
from probes.limits import Deadline

_CHATS = (
    "slack discord workflow workflows gchat matrix matrixs mmost mmosts rocket rockets zulip webex wxteams "
    "signal signals session sessions threema viber line lark feishu dingtalk wecombot nctalk nctalks ncloud nclouds "
    "ryver twist flock cliq zohocliq zoom mastodon mastodons misskey misskeys bluesky revolt synology synologys qq kook "
)
_PUSH = (
    "ntfy ntfys gotify gotifys pover pbul pushdeer pushdeers pushed pushy pushme pushplus psafer psafers prowl bark "
    "barks join simplepush spush chanify onesignal wxpusher schan lametric lametrics hassio hassios "
)
_PHONE = (
    "twilio vonage nexmo clickatell msgbird plivo sinch bulksms bulkvs d7sms kavenegar atalk clicksend voipms smseagle "
    "smseagles 46elks elks telnyx infobip burstsms msg91 octopush smsmanager httpsms seven serwersms sfr freemobile sns "
    "exotel kaleyra telesign ringc smsc smstunnel whapi "
)
_CALL = (
    "pagerduty opsgenie goalert goalerts splunk victorops betterstack ilert incidentio firehydrant squadcast signl4 spike "
    "xmatters jira notifiarr pagertree json jsons "
)
SCHEMES = frozenset(f"{_CHATS}{_PUSH}{_PHONE}{_CALL}".split())
"""What is let in: services of Apprise that speak HTTP and nothing else."""
REFUSED = frozenset({"template", "keyfile", "attach", "attachment", "file", "pem", "path", "config"})
"""Words after the question mark that would have a file of this machine read."""
TITLE, BODY = 200, 3000
KINDS = {"critical": "failure", "warning": "warning", "good": "success", "info": "info"}
USES = 200
"""Deliveries after which a process beside us is replaced."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where addresses may lead."""

    hosts: tuple[str, ...] = option(
        "Hosts on this machine", default=(), help="Like localhost; only these may be the machine Pantau runs on."
    )


@dataclass(frozen=True, slots=True)
class Address:
    """One receiver, as Apprise writes it: ntfys://host/topic, slack://TOKEN, twilio://SID:TOKEN@FROM/TO ..."""

    url: str = option("Apprise URL", help="One receiver; it holds the secret and is shown to nobody.")

    def __post_init__(self) -> None:
        if not 5 <= len(self.url) <= words.URL or not re.fullmatch(
            r"[a-z0-9]{1,20}://[^\s\x00-\x1f\x7f]+", self.url, re.I
        ):
            raise ValueError("option 'url' is like ntfys://ntfy.sh/topic: one URL of Apprise, without spaces.")
        if any(0xD800 <= ord(c) <= 0xDFFF for c in self.url):
            raise ValueError("option 'url' has a character no URL has.")
        scheme = self.url.partition("://")[0].lower()
        if scheme not in SCHEMES | {"https"}:
            raise ValueError(
                f"option 'url' cannot begin with {scheme}:// here; docs/channels/apprise.md lists what can."
            )
        asked = {
            name.lower().lstrip("+-:") for name, _ in parse_qsl(self.url.partition("?")[2], keep_blank_values=True)
        }
        if asked & REFUSED:
            raise ValueError(
                f"option 'url' may not have '{min(asked & REFUSED)}': it would read a file of this machine."
            )

    def __repr__(self) -> str:
        return "Address(***)"


def shown(address: Address) -> dict[str, str]:
    """Of an address, which service it is of: in many, what stands in a host's place is a token."""
    return {"service": _service(address)}


def deliver(sending: Sending) -> Sent:
    """Have the service told by the process beside us. Raises Undelivered."""
    deadline = Deadline(sending.deadline)
    address: Address = sending.address
    message = words.safe(sending.message)
    asked = {
        "url": address.url,
        "schemes": sorted(SCHEMES),
        "title": _quiet(f"{words.MARKS[message.severity]} {message.title}", TITLE),
        "body": _quiet(words.plain(message).partition("\n")[2].strip() or message.title, BODY),
        "kind": KINDS[message.severity],
        "loopback": _host(address.url) in {host.strip("[]").lower() for host in sending.sender.hosts},
        "shut": sorted(doors.of(sending.keep).shut),
    }
    with sending.hops.step("handed to the service", _service(address)):
        told = _asked(sending.keep, asked, deadline)
        if told is None:
            raise Undelivered(
                f"Not finished within {sending.deadline:g} s; the service did not answer in time.", unsure=True
            )
        if told["taken"]:
            return Sent()
        raise _no(told, address)


def _asked(keep: Keep, asked: dict[str, Any], deadline: Deadline) -> dict[str, Any] | None:
    """The answer of a process beside us, or None when the time ran out; the process does not outlive that."""
    beside = keep.get(("apprise", "beside"), Beside)
    for _ in range(3):
        worker = beside.take()
        answer = worker.ask({**asked, "seconds": max(0.1, deadline.remaining() - 0.2)}, deadline)
        if answer is not None:
            beside.give(worker)
            return answer
        worker.close()
        if deadline.passed() or worker.heard:
            return None
    return None


class Worker:
    """One process beside us."""

    def __init__(self) -> None:
        root = Path(__file__).resolve().parents[2]
        kept = {
            name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMPDIR", "LANG") if name in os.environ
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__.rpartition(".")[0] + ".aside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=root,
            env={**kept, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.uses = 0
        self.heard = False

    @property
    def alive(self) -> bool:
        """Whether it can be asked, and often enough still."""
        return self._process.poll() is None and self.uses < USES

    def ask(self, asked: dict[str, Any], deadline: Deadline) -> dict[str, Any] | None:
        """Its answer to one request; None if it ends (or is ended, at the deadline) without one."""
        assert self._process.stdin is not None and self._process.stdout is not None  # pipes, by how it was started
        self.uses += 1
        end = threading.Timer(deadline.remaining(), self._process.kill)
        end.daemon = True
        end.start()
        try:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            self.heard = True  # it may have sent something by now: asking another would send it twice
            said = self._process.stdout.readline(64 * 1024)
            answer: dict[str, Any] = json.loads(said)
            return answer
        except (OSError, ValueError):
            return None
        finally:
            end.cancel()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()


class Beside:
    """Processes that wait for the next message; each does one at a time, and ends itself when nothing comes."""

    def __init__(self) -> None:
        self._waiting: list[Worker] = []
        self._lock = threading.Lock()

    def take(self) -> Worker:
        """One for the taker alone."""
        while True:
            with self._lock:
                worker = self._waiting.pop() if self._waiting else None
            if worker is None:
                return Worker()
            if worker.alive:
                worker.heard = False
                return worker
            worker.close()

    def give(self, worker: Worker) -> None:
        """Leave it for the next."""
        with self._lock:
            self._waiting.append(worker)

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            every, self._waiting = self._waiting, []
        for worker in every:
            worker.close()


def _no(told: dict[str, Any], address: Address) -> Undelivered:
    """What the service's no means. Nothing of the URL but its scheme is said."""
    service = _service(address)
    status, why = int(told["status"]), words.line(str(told["why"]), 80)
    if not told["known"]:
        return Undelivered(f"This {service} address is not whole, or not one that may be used here.", "never")
    if told["shut"]:
        return Undelivered(words.line(str(told["shut"]), 200), "never")
    if status in (404, 410):
        return Undelivered(f"The service ({service}) does not know this receiver: it answers {status}.", "never")
    if 400 <= status < 500 and status not in (408, 425, 429):
        return Undelivered(f"The service ({service}) does not take this: it answers {status}.", "never")
    if status >= 300:
        wait = Answer(status, {"Retry-After": str(told["retry"])}).retry_after()
        return Undelivered(f"The service ({service}) answers {status}.", "later", wait)
    said = why or "it gave no reason"
    return Undelivered(f"The service ({service}) did not take the message: {said}.")


def _service(address: Address) -> str:
    return address.url.partition("://")[0].lower()


def _quiet(text: str, limit: int) -> str:
    """`text` with an invisible joiner where a chat would call everybody at a machine's word."""
    return words.lines(re.sub(r"@(?=\w)|<(?=[!@#&])", lambda found: f"{found[0]}\u2060", text), limit)


def _host(url: str) -> str:
    with contextlib.suppress(ValueError):
        return (urlsplit(url).hostname or "").lower()
    return ""


CHANNEL = Channel(
    kind="apprise",
    label="Chats, SMS and others (Apprise)",
    deliver=deliver,
    options=Options,
    address=Address,
    shown=shown,
    seats=2,
)
