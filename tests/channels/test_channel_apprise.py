"""Everything else, by Apprise in a process of its own, against stand-ins on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import talkers

from notifier.channels.anything import CHANNEL, SCHEMES, Address, Options
from notifier.channels.base import Hop, Hops
from probes.base import Keep
from probes.doors import Doors
from tests.channels.sendings import message, refusal, send
from tests.channels.standin import Reply, provider
from tests.ports import free_port

HERE = Options(hosts=("127.0.0.1",))


@pytest.fixture(scope="module")
def keep() -> Iterator[Keep]:
    """One process beside us for all these tests."""
    kept = Keep()
    yield kept
    kept.close()


def test_a_topic_of_ntfy_gets_the_news(keep: Keep) -> None:
    hops: list[Hop] = []
    with provider(Reply(200, b'{"id":"x"}')) as there:
        send(CHANNEL, HERE, Address(f"ntfy://127.0.0.1:{there.port}/alerts"), keep=keep, hops=Hops(hops.append))
    asked = there.asked[0]
    said = asked.body.decode() + str(asked.headers)
    assert "db-02 is down" in said and "No answer to three looks" in said and "Gudang Cikarang" in said
    assert [(hop.name, hop.ok) for hop in hops] == [("handed to the service", True)]


def test_a_plain_json_receiver_gets_the_kind_of_news_too(keep: Keep) -> None:
    with provider(Reply(200)) as there:
        send(CHANNEL, HERE, Address(f"json://user:pass@127.0.0.1:{there.port}/x"), message(severity="good"), keep=keep)
    told = there.asked[0].json
    assert told["type"] == "success" and told["title"] == "🟢 db-02 is down" and "Since: 09:12 WIB" in told["message"]


def test_several_messages_share_a_process(keep: Keep) -> None:
    with provider(Reply(200)) as there:
        address = Address(f"json://127.0.0.1:{there.port}/")
        for number in range(5):
            send(CHANNEL, HERE, address, message(key=str(number)), keep=keep)
    assert len(there.asked) == 5 and len(keep.peek(("apprise", "beside"))._waiting) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("status", "kind", "waits"), [(400, "never", None), (401, "never", None), (404, "never", None), (429, "later", 33.0),
                                                       (500, "later", 33.0), (302, "later", 33.0)])  # fmt: skip
def test_what_a_status_means(keep: Keep, status: int, kind: str, waits: float | None) -> None:
    with provider(Reply(status, b"secret-echo", {"Location": "http://127.0.0.1:1/", "Retry-After": "33"})) as there:
        why = refusal(CHANNEL, HERE, Address(f"json://127.0.0.1:{there.port}/"), keep=keep)
    assert (why.kind, why.retry_after) == (kind, waits) and str(status) in str(why) and "echo" not in str(why)
    assert len(there.asked) == 1


def test_the_secret_in_the_url_is_in_no_error_and_no_picture_of_it(keep: Keep) -> None:
    hops: list[Hop] = []
    address = Address(f"json://hunter:t0psecret@127.0.0.1:{free_port()}/p4th-secret?+X-Key=qu3ry-secret")
    why = refusal(CHANNEL, HERE, address, keep=keep, hops=Hops(hops.append))
    assert why.kind == "later" and "connection refused" in str(why)
    everything = str(why) + repr(address) + "".join(hop.name + hop.detail for hop in hops)
    for secret in ("hunter", "t0psecret", "p4th", "qu3ry"):
        assert secret not in everything


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "dbus://", "syslog://", "rsyslog://127.0.0.1", "windows://", "macosx://", "gnome://", "mailto://a:b@c.example",
     "mqtt://127.0.0.1", "irc://x/y", "xmpp://x", "smpp://x", "blink1://", "growl://x", "form://x", "xml://x", "fcm://x/y?keyfile=/etc/passwd",
     "vapid://x", "apprise://x/y", "exec://x", "http://x/y", "tgram://1:2/3", "", "json://", "json://a b", "json://a\r\nb", "json://a\x00",
     "json://a/?template=/etc/passwd", "discord://a/b?Template=file:///etc/passwd", "json://x/?attach=file:///etc/passwd", "json://\ud800"],
)  # fmt: skip
def test_what_reads_files_or_leaves_the_network_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Address(url)


def test_the_services_people_ask_for_are_let_in() -> None:
    assert {
        "slack",
        "workflows",
        "discord",
        "ntfy",
        "gotify",
        "pover",
        "matrix",
        "signal",
        "twilio",
        "vonage",
    } <= SCHEMES


def test_every_service_that_is_let_in_exists_and_speaks_http() -> None:
    tell = (
        "import json; from apprise.manager_plugins import NotificationManager as M; m = M(); m.load_modules(); "
        "print(json.dumps({s: p.__module__ for s, p in m._schema_map.items()}))"
    )
    known = json.loads(subprocess.run([sys.executable, "-c", tell], capture_output=True, check=True).stdout)
    modules = {scheme: known[scheme] for scheme in SCHEMES}  # KeyError: it is none
    away = (
        "dbus",
        "glib",
        "gnome",
        "macosx",
        "windows",
        "syslog",
        "email",
        "mqtt",
        "smpp",
        "irc",
        "xmpp",
        "amqp",
        "fcm",
        "vapid",
    )
    assert not [name for name in modules.values() if name.removeprefix("apprise.plugins.").split(".")[0] in away]


def test_an_address_that_is_not_whole_is_never_taken(keep: Keep) -> None:
    assert refusal(CHANNEL, HERE, Address("slack://nonsense"), keep=keep).kind == "never"
    assert refusal(CHANNEL, HERE, Address("https://example.org/hook"), keep=keep).kind == "never"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0.0.0.0"])
def test_the_machine_itself_is_asked_only_where_it_is_listed(keep: Keep, host: str) -> None:
    with provider(Reply(200)) as there:
        why = refusal(CHANNEL, Options(), Address(f"json://{host}:{there.port}/"), keep=keep)
    assert why.kind in ("never", "later") and not there.asked


def test_a_clouds_secrets_and_pantaus_own_ports_stay_shut() -> None:
    with provider(Reply(200)) as there:
        own = Keep()
        own.get(("doors",), lambda: Doors((("127.0.0.1", there.port),)))
        try:
            for url in (f"json://127.0.0.1:{there.port}/", "json://169.254.169.254/latest"):
                assert refusal(CHANNEL, HERE, Address(url), keep=own).kind == "never"
        finally:
            own.close()
    assert not there.asked


def test_a_service_that_drips_holds_nobody_beyond_the_deadline(keep: Keep) -> None:
    def speech(talker: talkers.Talker, line: Any) -> None:
        line.recv(65536)
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 5000:
            line.sendall(bytes([byte]))
            talker.pause(0.2)

    stop = talkers.within(8)
    with talkers.talking(speech) as talker:
        why = refusal(CHANNEL, HERE, Address(f"json://127.0.0.1:{talker.port}/"), keep=keep, deadline=2.0)
        stop()
    assert why.kind == "later"


def test_a_process_that_was_killed_between_two_messages_is_replaced(keep: Keep) -> None:
    with provider(Reply(200)) as there:
        address = Address(f"json://127.0.0.1:{there.port}/")
        send(CHANNEL, HERE, address, keep=keep)
        worker = keep.peek(("apprise", "beside"))._waiting[0]  # type: ignore[union-attr]
        os.kill(worker._process.pid, 9)
        time.sleep(0.2)
        send(CHANNEL, HERE, address, message(key="2"), keep=keep)
    assert len(there.asked) == 2


def test_the_environments_proxy_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with provider(Reply(200)) as there:
        send(CHANNEL, HERE, Address(f"json://127.0.0.1:{there.port}/"))
    assert len(there.asked) == 1


def test_a_name_of_a_machine_calls_nobody(keep: Keep) -> None:
    with provider(Reply(200)) as there:
        send(
            CHANNEL,
            HERE,
            Address(f"json://127.0.0.1:{there.port}/"),
            message(title="@everyone <!channel> is down"),
            keep=keep,
        )
    title = there.asked[0].json["title"]
    assert "@everyone" not in title and "<!" not in title and "everyone" in title
