"""Webhooks against servers on loopback: what is signed, what is refused, and where nobody is led."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import talkers

from notifier.channels.base import Hop, Hops
from notifier.channels.webhook import CHANNEL, Address, Options, signature
from probes.doors import Doors
from probes.names import Names, Place
from tests.channels.sendings import SAMPLE, keeping, message, refusal, send
from tests.channels.standin import Reply, provider
from tests.webpeers import Authority

HERE = Options(hosts=("127.0.0.1",))
KEY = {"key": "shared-käy"}


def test_a_receiver_can_check_who_sent_it_and_that_nothing_was_changed() -> None:
    with provider(Reply(204, b"")) as there:
        send(CHANNEL, HERE, Address(f"{there.url}/hook?x=1"), secret=KEY)
        asked = there.asked[0]
    assert (asked.method, asked.path) == ("POST", "/hook?x=1")
    assert asked.headers["content-type"] == "application/json" and asked.headers["idempotency-key"] == "delivery-17"
    stamp, _, mac = asked.headers["pantau-signature"].removeprefix("t=").partition(",v1=")
    assert abs(int(stamp) - time.time()) < 60
    wanted = hmac.new("shared-käy".encode(), stamp.encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(mac, wanted)
    told = asked.json
    assert (told["version"], told["title"], told["severity"], told["thread"]) == (
        1,
        "db-02 is down",
        "critical",
        "incident-5",
    )
    assert datetime.datetime.fromisoformat(told["at"]) == SAMPLE.at
    assert told["place"]["map"].startswith("https://") and told["facts"][1]["url"] == "https://wiki.example.org/db-02"


def test_the_check_in_the_documentation_is_right() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/channels/webhook.md").read_text()
    known: dict[str, Any] = {}
    exec(page.split("```python")[1].split("```")[0], known)
    now, body = int(time.time()), b'{"a":1}'
    assert known["good"](signature("käy", now, body), body, "käy")
    assert not known["good"](signature("käy", now, body), body + b" ", "käy")
    assert not known["good"](signature("other", now, body), body, "käy")
    assert not known["good"](signature("käy", now - 400, body), body, "käy")


def test_without_a_key_nothing_is_signed() -> None:
    with provider(Reply(200)) as there:
        send(CHANNEL, HERE, Address(there.url))
    assert "pantau-signature" not in there.asked[0].headers


def test_over_tls_only_a_good_certificate_is_believed(tmp_path: Path) -> None:
    with provider(Reply(200), tls=Authority(tmp_path).server("127.0.0.1")[0]) as there:
        why = refusal(CHANNEL, HERE, Address(there.url.replace("http:", "https:")))
    assert why.kind == "later" and "not to be trusted" in str(why) and not there.asked


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://0.0.0.0:{port}/",
     "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://224.0.0.1/", "http://255.255.255.255/",
     "http://100.100.100.200/", "http://[64:ff9b::a9fe:a9fe]/", "http://2130706433:{port}/", "http://0x7f.1:{port}/",
     "http://[::1]:{port}/", "http://127.1:{port}/"],
)  # fmt: skip
def test_nobody_is_led_to_this_machine_or_to_a_clouds_secrets(url: str) -> None:
    hops: list[Hop] = []
    with provider(Reply(200)) as there:
        why = refusal(CHANNEL, Options(), Address(url.format(port=there.port)), hops=Hops(hops.append), deadline=5.0)
    assert why.kind in ("never", "later") and not there.asked
    assert not any(hop.name == "accepted" for hop in hops)


def test_a_listed_host_opens_this_machine_and_nothing_else() -> None:
    why = refusal(CHANNEL, Options(hosts=("169.254.169.254",)), Address("http://169.254.169.254/"))
    assert why.kind == "never" and "metadata" in str(why)


def test_a_port_of_pantau_itself_stays_shut_though_the_host_is_listed() -> None:
    with provider(Reply(200)) as there, keeping() as keep:
        keep.get(("doors",), lambda: Doors((("127.0.0.1", there.port),)))
        why = refusal(CHANNEL, HERE, Address(there.url), keep=keep)
    assert why.kind == "never" and "Pantau itself" in str(why) and not there.asked


def test_a_name_is_resolved_once_and_judged_by_what_it_resolved_to() -> None:
    asked: list[str] = []

    def rebinding(name: str) -> tuple[Place, ...]:
        asked.append(name)
        return (Place("169.254.169.254" if len(asked) == 1 else "127.0.0.1", 2),)  # type: ignore[arg-type]

    with provider(Reply(200)) as there, keeping() as keep:
        keep.get(("names",), lambda: Names(rebinding))
        why = refusal(CHANNEL, HERE, Address(f"http://hook.example:{there.port}/"), keep=keep)
    assert asked == ["hook.example"] and why.kind == "never" and not there.asked


@pytest.mark.parametrize("host", ["hök.example", "HOOK.example", "hook.example."])
def test_a_name_may_be_written_in_any_way_it_is_written(host: str) -> None:
    def here(name: str) -> tuple[Place, ...]:
        return (Place("127.0.0.1", socket.AF_INET),)

    with provider(Reply(200)) as there, keeping() as keep:
        keep.get(("names",), lambda: Names(here))
        listed = Options(hosts=("hook.example", "xn--hk-fka.example"))
        send(CHANNEL, listed, Address(f"http://{host}:{there.port}/"), keep=keep)
    assert len(there.asked) == 1


@pytest.mark.parametrize(("status", "kind"), [(301, "never"), (307, "never"), (400, "never"), (401, "never"), (404, "later"),
                                              (410, "gone"), (413, "never"), (429, "later"), (500, "later"), (503, "later")])  # fmt: skip
def test_what_a_status_means(status: int, kind: str) -> None:
    with provider(Reply(status, b"says no", {"Location": "/elsewhere", "Retry-After": "60"})) as there:
        why = refusal(CHANNEL, HERE, Address(there.url))
    assert why.kind == kind and str(status) in str(why) and len(there.asked) == 1
    assert why.retry_after == (60.0 if kind == "later" else None)


def test_a_token_in_the_url_is_in_no_error() -> None:
    token = "T0ken-in-the-path-123"
    with provider(lambda asked: Reply(400, asked.path.encode())) as there:
        why = refusal(CHANNEL, HERE, Address(f"{there.url}/services/{token}"))
    assert token not in str(why)


def test_an_answer_without_end_is_not_waited_for() -> None:
    def speech(talker: talkers.Talker, line: object) -> None:
        line.recv(65536)  # type: ignore[attr-defined]
        line.sendall(b"HTTP/1.1 500 No\r\n\r\n")  # type: ignore[attr-defined]
        talkers.endless(talker, line)  # type: ignore[arg-type]

    stop = talkers.within(8)
    with talkers.talking(speech) as talker:
        why = refusal(CHANNEL, HERE, Address(f"http://127.0.0.1:{talker.port}/"))
        stop()
    assert why.kind == "later" and "500" in str(why)


def test_odd_letters_arrive_as_valid_json() -> None:
    with provider(Reply(200)) as there:
        send(
            CHANNEL,
            HERE,
            Address(there.url),
            message(title="a\ud800\x00b\r\nc", text="línea\nzwei", key="k\r\nX-Evil: 1"),
        )
    told = json.loads(there.asked[0].body.decode("ascii"))
    assert told["title"] == "a\ufffd\ufffdb c" and told["text"] == "línea\nzwei"
    assert "x-evil" not in there.asked[0].headers


@pytest.mark.parametrize("key", ["", "🔥", "a b", "\ud800", "x" * 2**20, "k\r\nX: y"])
def test_a_repetition_can_be_known_whatever_its_key_is_made_of(key: str) -> None:
    with provider(Reply(200)) as there:
        for _ in range(2):
            send(CHANNEL, HERE, Address(there.url), message(key=key))
    one, two = (asked.headers["idempotency-key"] for asked in there.asked)
    assert one == two == there.asked[0].json["id"] and len(one) == 40


@pytest.mark.parametrize("url", ["", "ftp://x", "javascript:alert(1)", "http://", "http://u:p@x.example/", "http://x.example/ y",
                                 "http://x.example\\@y", "http://x:0/", "http://x:99999/", "//x", "http://x/" + "y" * 3000])  # fmt: skip
def test_what_is_no_url_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Address(url)
