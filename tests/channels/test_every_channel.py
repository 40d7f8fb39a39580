"""What every channel keeps to, whatever the far side does: its deadline, Undelivered and nothing else, no secret shown."""

from __future__ import annotations

import dataclasses
import logging
import socket
import struct
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import talkers
from test_channel_webpush import Device

from domain.options import describe, fill
from notifier.channels import anything, catalogue, email, telegram, webhook, webpush, whatsapp
from notifier.channels.base import Action, Channel, Fact, Hop, Hops, Message, Place
from probes.base import Keep
from tests.channels.sendings import message, refusal
from tests.ports import free_port

PUBLIC, PRIVATE = webpush.fresh_pair()
TOKEN = "987654321:AA-s3cret_token-that-nobody-may-see"
SECRETS = (
    TOKEN,
    PRIVATE,
    "s3cret-password",
    "EAAs3cret-access-token",
    "s3cret-signing-key",
    "s3cret-in-the-url",
    "s3cret-endpoint",
)
HERE = ("127.0.0.1",)


@dataclass(frozen=True)
class Set:
    """A channel set up to reach `port` on loopback."""

    channel: Channel
    make: Callable[[int], tuple[Any, Any]]
    secret: dict[str, str]


def _device(port: int) -> Any:
    return Device(f"http://127.0.0.1:{port}/s3cret-endpoint").address


SETS = {
    "email": Set(
        email.CHANNEL,
        lambda port: (
            email.Options("127.0.0.1", "a@b.example", "none", port, username="u"),
            email.Address("x@y.example"),
        ),
        {"password": "s3cret-password"},
    ),
    "webpush": Set(
        webpush.CHANNEL,
        lambda port: (webpush.Options(PUBLIC, "mailto:a@b.example", HERE), _device(port)),
        {"private_key": PRIVATE},
    ),
    "telegram": Set(
        telegram.CHANNEL,
        lambda port: (telegram.Options(f"http://127.0.0.1:{port}"), telegram.Address("42")),
        {"token": TOKEN},
    ),
    "webhook": Set(
        webhook.CHANNEL,
        lambda port: (webhook.Options(HERE), webhook.Address(f"http://127.0.0.1:{port}/s3cret-in-the-url?a=s3cret-in-the-url")),
        {"key": "s3cret-signing-key"},
    ),
    "whatsapp": Set(
        whatsapp.CHANNEL,
        lambda port: (whatsapp.Options("1234567", api=f"http://127.0.0.1:{port}"), whatsapp.Address("+628123456789")),
        {"token": "EAAs3cret-access-token"},
    ),
    "apprise": Set(
        anything.CHANNEL,
        lambda port: (
            anything.Options(HERE),
            anything.Address(f"json://u:s3cret-in-the-url@127.0.0.1:{port}/s3cret-in-the-url"),
        ),
        {},
    ),
}  # fmt: skip

_UGLY = "\x00\r\nBcc: x\u2028\ud800\udfff<b>&'\"{{7*7}}" + "🔥x" * 2**19
UGLY = message(
    key=_UGLY, kind=_UGLY, title=_UGLY, text=_UGLY, language=_UGLY, thread=_UGLY, replaces=_UGLY, url=_UGLY,
    facts=(Fact(_UGLY, _UGLY, _UGLY),) * 3, place=Place(_UGLY, _UGLY, float("nan"), 1e308), ttl=float("inf"),
    actions=(Action("open", _UGLY, _UGLY, _UGLY), Action("acknowledge", _UGLY, _UGLY)),
)  # fmt: skip


def reset(talker: talkers.Talker, line: socket.socket) -> None:
    """Break off in the middle, as a firewall does."""
    line.recv(10)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def headers_without_end(talker: talkers.Talker, line: socket.socket) -> None:
    """Say yes at once, and never come to the end of the headers: nothing was taken yet."""
    line.recv(10)
    line.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    talkers.dripping(b"yes ", 0.2)(talker, line)


def closing(talker: talkers.Talker, line: socket.socket) -> None:
    """Hang up at once."""


def echoing(talker: talkers.Talker, line: socket.socket) -> None:
    """Repeat what is said, which holds secrets, as an error."""
    line.settimeout(0.3)
    said = b""
    try:
        while len(said) < 65536 and (more := line.recv(65536)):
            said += more
    except TimeoutError:
        pass
    line.sendall(
        b"HTTP/1.1 400 " + said[:300].replace(b"\r\n", b" ") + b"\r\nContent-Length: %d\r\n\r\n" % len(said) + said
    )


PEERS: dict[str, Callable[[talkers.Talker, socket.socket], None]] = {
    "silent": talkers.silent,
    "drips a line": talkers.dripping(b"220-more to come\r\n", 0.3),
    "drips a head": talkers.dripping(b"HTTP/1.1 200 OK\r\nX-A: ", 0.3),
    "headers without end": headers_without_end,
    "drips a body": talkers.dripping(b"HTTP/1.1 400 No\r\nContent-Length: 99999\r\n\r\n", 0.05),
    "reset": reset,
    "closing": closing,
    "garbage": talkers.saying(b"\xff\x00\xfe garbage \r\n\r\n" * 40),
    "odd HTTP": talkers.saying(b"HTTP/1.1 999999999999999999999 x\r\nContent-Length: -5\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n"),
    "a bomb": talkers.saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"),
    "huge chunk": talkers.saying(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFFFF\r\nx"),
    "endless": talkers.endless,
    "endless body": lambda talker, line: (line.recv(9), line.sendall(b"HTTP/1.1 500 No\r\n\r\n"), talkers.endless(talker, line))[0],
    "echoing": echoing,
}  # fmt: skip


@pytest.fixture(scope="module")
def keep() -> Iterator[Keep]:
    """As in a process that delivers."""
    kept = Keep()
    yield kept
    kept.close()


def test_every_channel_of_the_catalogue_is_tried_here() -> None:
    assert set(catalogue()) == set(SETS)
    assert all(given.channel is catalogue()[kind] for kind, given in SETS.items())


@pytest.mark.parametrize("kind", list(SETS))
def test_every_channel_has_a_page_that_names_each_of_its_options(kind: str) -> None:
    docs = Path(__file__).resolve().parents[2] / "docs/channels"
    page = (docs / f"{kind}.md").read_text()
    assert f"]({kind}.md)" in (docs / "README.md").read_text()
    assert not [told.name for told in describe(SETS[kind].channel.options) if f"`{told.name}`" not in page]


@pytest.mark.parametrize("kind", list(SETS))
def test_forms_can_fill_every_option_and_address(kind: str) -> None:
    sender, address = SETS[kind].make(1234)
    for made in (sender, address):
        assert fill(type(made), dataclasses.asdict(made)) == made
        assert all(told.label and told.label[0].isupper() for told in describe(type(made)))


CASES = [(peer, message()) for peer in PEERS] + [(peer, UGLY) for peer in ("garbage", "echoing", "closing")]


@pytest.mark.parametrize(
    ("peer", "told"), CASES, ids=[f"{p}-{t.title[:5] if t is not UGLY else 'ugly'}" for p, t in CASES]
)
@pytest.mark.parametrize("kind", list(SETS))
def test_a_bad_far_side_ends_in_undelivered_in_time_and_without_a_secret(
    kind: str, peer: str, told: Message, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    taken_for_good = peer == "a bomb" and kind in ("webpush", "webhook", "apprise")  # it says 200, and that is enough
    given, hops = SETS[kind], list[Hop]()
    caplog.set_level(logging.DEBUG)
    with talkers.talking(PEERS[peer]) as talker:
        stop = talkers.within(12)
        sender, address = given.make(talker.port)
        arguments = (
            given.channel,
            sender,
            address,
            told,
            given.secret,
            4.0 if kind == "apprise" else 1.0,
            keep,
            Hops(hops.append),
        )
        try:
            why = refusal(*arguments)
        except AssertionError:
            assert taken_for_good
            return
        stop()
    assert why.kind in ("later", "never", "setup", "gone") and 5 < len(str(why)) < 600
    shown = "".join(traceback.format_exception(why)) + "".join(h.name + h.detail for h in hops) + caplog.text
    assert not [secret for secret in SECRETS if secret in shown]
    assert "\n" not in str(why) and str(why).isprintable()


@pytest.mark.parametrize("kind", list(SETS))
def test_a_refused_port_is_worth_another_try(kind: str, keep: Keep) -> None:
    given = SETS[kind]
    sender, address = given.make(free_port())
    why = refusal(given.channel, sender, address, message(), given.secret, 5.0, keep)
    assert why.kind == "later"


@pytest.mark.parametrize("kind", list(SETS))
def test_no_time_at_all_is_a_delivery_for_later(kind: str, keep: Keep) -> None:
    given = SETS[kind]
    with talkers.talking(talkers.silent) as talker:
        sender, address = given.make(talker.port)
        assert refusal(given.channel, sender, address, message(), given.secret, 0.0, keep).kind == "later"
