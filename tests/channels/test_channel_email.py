"""E-mail against a real SMTP server on loopback: what is taken, how it reads, and every way it is not taken."""

from __future__ import annotations

import dataclasses
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import talkers

from notifier.channels import email
from notifier.channels.base import Fact, Hop, Hops, Place
from notifier.channels.email import CHANNEL, Address, Options
from tests.channels.mailserver import PASSWORD, USER, Office, office
from tests.channels.sendings import keeping, message, refusal, send
from tests.ports import free_port
from tests.webpeers import Authority

ANA = Address("ana@example.org")
SECRET = {"password": PASSWORD}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def options(seen: Office | int, **more: Any) -> Options:
    port = seen if isinstance(seen, int) else seen.port
    given = {"host": "127.0.0.1", "port": port, "sender": "pantau@example.org", "security": "none"}
    return Options(**{**given, **more})


def test_a_mail_says_the_news_as_text_and_as_a_page() -> None:
    with office() as seen:
        send(CHANNEL, options(seen), ANA)
    mail = seen.taken[0]
    told = mail.message
    assert (mail.sender, mail.to) == ("pantau@example.org", ["ana@example.org"])
    assert told["Subject"] == "db-02 is down"
    assert told["From"] == "Pantau <pantau@example.org>"
    assert told["Date"] == "Fri, 03 Jul 2026 09:13:00 +0000"
    text = told.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    for part in ("No answer to three looks", "Since: 09:12 WIB", "https://wiki.example.org/db-02", "Gudang Cikarang",
                 "mlat=-6.300000", "https://pantau.example.org/incidents/5"):  # fmt: skip
        assert part in text
    page = told.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert 'href="https://pantau.example.org/incidents/5"' in page
    assert "Open in Pantau" in page and "color-scheme" in page
    assert not re.search(r"<(img|script|link|iframe)|url\(|src=", page)


def test_the_words_of_the_channel_are_in_the_readers_language() -> None:
    with office() as seen:
        send(CHANNEL, options(seen), ANA, message(language="id"))
    assert "Buka di Pantau" in seen.taken[0].message.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_a_place_that_is_named_already_is_not_said_twice() -> None:
    site = Fact("Site", "Gudang Cikarang, Jl. Raya 1", "https://www.openstreetmap.org/?mlat=-6.3")
    with office() as seen:
        send(CHANNEL, options(seen), ANA, message(facts=(site,)))
    for kind in ("plain", "html"):
        text = seen.taken[0].message.get_body((kind,)).get_content()  # type: ignore[union-attr]
        assert text.count("Gudang Cikarang") == 1 and "mlat=-6.300000" in text and "Where" not in text


def test_an_incident_is_one_conversation_and_an_attempt_the_same_mail() -> None:
    with office() as seen, keeping() as keep:
        first = send(CHANNEL, options(seen), ANA, keep=keep)
        again = send(CHANNEL, options(seen), ANA, keep=keep)
        later = message(key="delivery-18", kind="recovery", severity="good", replaces=first.ref)
        last = send(CHANNEL, options(seen), ANA, later, keep=keep)
    one, two, three = (mail.message for mail in seen.taken)
    assert first == again and one["Message-ID"] == two["Message-ID"] == first.ref
    assert last.ref != first.ref and three["Message-ID"] == last.ref
    root = "<incident-5.thread@example.org>"
    assert (one["In-Reply-To"], one["References"]) == (root, root)
    assert (three["In-Reply-To"], three["References"]) == (first.ref, f"{root} {first.ref}")


def test_a_machine_reads_that_no_person_wrote_it() -> None:
    with office() as seen:
        send(CHANNEL, options(seen), ANA)
    told = seen.taken[0].message
    assert told["Auto-Submitted"] == "auto-generated"
    assert told["List-Id"] == "<pantau.example.org>"
    assert told["Importance"] == "high"


@pytest.mark.parametrize("evil", ["x\r\nBcc: eve@example.org", "x\nBcc: eve@example.org", "x\u2028Bcc: e", "x\x85y", "x\x00y",
                                  "x\ud800y", "x\r\n\r\n<b>body</b>", "x\r\n.\r\nMAIL FROM:<eve@example.org>", "=?utf-8?q?x=0D=0ABcc:_eve@example.org?="])  # fmt: skip
def test_no_text_makes_a_header_or_a_second_mail(evil: str) -> None:
    spoilt = message(
        key=evil, kind=evil, title=evil, text=evil, language=evil, thread=evil, replaces=evil, url=evil,
        facts=(Fact(evil, evil, evil),), place=Place(evil, evil, 1.0, 2.0),
    )  # fmt: skip
    with office() as seen:
        send(CHANNEL, options(seen, name=evil.replace("\ud800", "")), ANA, spoilt)
    assert len(seen.taken) == 1
    mail = seen.taken[0]
    head = mail.raw.split(b"\r\n\r\n")[0]
    assert mail.to == ["ana@example.org"] and b"\nBcc:" not in head and not mail.message.defects
    assert {"Bcc", "bcc"}.isdisjoint(mail.message.keys())
    assert [name for name, _ in mail.message.items()].count("Subject") == 1


class _Reader(HTMLParser):
    """The tags and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_host_names_full_of_markup_stay_words() -> None:
    bad = """"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}"""
    spoilt = message(
        title=bad, text=bad, language=bad, url='https://x.example/"onclick="y', thread=bad,
        facts=(Fact(bad, bad, "javascript:alert(1)"), Fact("a", "b", "https://ok.example/?a=1&b=<x>")),
        place=Place(bad, bad),
    )  # fmt: skip
    with office() as seen:
        send(CHANNEL, options(seen), ANA, spoilt)
    page = seen.taken[0].message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    reader = _Reader()
    reader.feed(page)
    assert "script" not in reader.tags and "img" not in reader.tags
    assert reader.links == []
    assert "{{7*7}}" in page and "49" not in page


def test_a_name_of_a_mebibyte_is_cut() -> None:
    huge = "x" * 2**20
    with office() as seen:
        send(CHANNEL, options(seen), ANA, message(title=huge, text=huge, facts=(Fact(huge, huge),) * 200))
    assert len(seen.taken[0].raw) < 150_000
    assert len(seen.taken[0].message["Subject"]) < 300


def test_tls_at_once_with_a_login_and_every_hop_told(authority: Authority) -> None:
    hops: list[Hop] = []
    with office(tls=authority.server("127.0.0.1")[0], login=True) as seen:
        given = options(seen, security="tls", username=USER, ca=authority.pem)
        send(CHANNEL, given, ANA, secret=SECRET, hops=Hops(hops.append))
    assert seen.taken[0].login == USER
    assert [hop.name for hop in hops] == ["name lookup", "connect", "TLS", "greeting", "login", "accepted"]
    assert all(hop.ok and hop.took >= 0 for hop in hops)
    assert hops[-1].detail == "250 2.0.0 queued as 42" and hops[2].detail.startswith("TLSv1")


@pytest.mark.parametrize("without", [(), ("PLAIN",)])
def test_starttls_and_both_ways_of_logging_in(authority: Authority, without: tuple[str, ...]) -> None:
    with office(starttls=authority.server("localhost")[0], login=True, without=without) as seen:
        given = options(seen, host="localhost", security="starttls", username=USER, ca=authority.pem)
        send(CHANNEL, given, ANA, secret=SECRET)
    assert seen.taken[0].login == USER


def test_a_server_without_the_promised_starttls_gets_no_mail() -> None:
    with office() as seen:
        why = refusal(CHANNEL, options(seen, security="starttls"), ANA)
    assert why.kind == "setup" and "STARTTLS" in str(why)
    assert not seen.taken


def test_a_certificate_of_another_name_gets_neither_password_nor_mail(authority: Authority) -> None:
    with office(starttls=authority.server("other.example")[0], login=True) as seen:
        given = options(seen, security="starttls", username=USER, ca=authority.pem)
        why = refusal(CHANNEL, given, ANA, secret=SECRET)
    assert why.kind == "setup" and "it is for another address" in str(why)
    assert seen.logins == 0 and not seen.taken


def test_a_certificate_of_a_stranger_is_not_believed(authority: Authority) -> None:
    with office(tls=authority.server("127.0.0.1", alone=True)[0]) as seen:
        why = refusal(CHANNEL, options(seen, security="tls", ca=authority.pem), ANA)
    assert why.kind == "setup" and "not to be trusted" in str(why)


def test_a_wrong_password_is_for_an_admin_and_is_not_shown(authority: Authority) -> None:
    hops: list[Hop] = []
    with office(tls=authority.server("127.0.0.1")[0], login=True) as seen:
        given = options(seen, security="tls", username=USER, ca=authority.pem)
        why = refusal(CHANNEL, given, ANA, secret={"password": "wrong-hunter2"}, hops=Hops(hops.append))
    assert why.kind == "setup" and "535" in str(why)
    assert "hunter2" not in str(why) + repr(why.__cause__) + "".join(hop.detail for hop in hops)
    assert hops[-1].name == "login" and not hops[-1].ok


def test_a_password_never_travels_in_the_clear() -> None:
    with pytest.raises(ValueError, match="security"):
        Options(host="mail.example.org", sender="a@b.example", security="none", username="u")


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("RCPT", "550 5.1.1 no such user", "gone"),
        ("RCPT", "550 5.1.10 null MX", "gone"),
        ("RCPT", "550 mailbox unavailable", "never"),
        ("RCPT", "554 5.7.1 relay access denied", "setup"),
        ("RCPT", "452 4.2.2 mailbox full", "later"),
        ("RCPT", "450 4.7.1 greylisted", "later"),
        ("MAIL", "550 5.7.1 sender not yours", "setup"),
        ("MAIL", "451 4.3.0 later", "later"),
        ("MAIL", "421 4.3.2 going down", "later"),
        ("DATA", "554 5.6.0 this is spam", "never"),
        ("DATA", "552 5.3.4 too large", "never"),
        ("DATA", "451 4.3.0 disk full", "later"),
    ],
)
def test_what_a_no_means(command: str, answer: str, kind: str) -> None:
    with office() as seen, keeping() as keep:
        seen.refuse[command] = answer
        why = refusal(CHANNEL, options(seen), ANA, keep=keep)
        assert why.kind == kind and answer in str(why)
        del seen.refuse[command]
        send(CHANNEL, options(seen), ANA, keep=keep)
    assert len(seen.taken) == 1


def test_several_messages_share_a_connection_and_a_login(authority: Authority) -> None:
    with office(tls=authority.server("127.0.0.1")[0], login=True) as seen, keeping() as keep:
        given = options(seen, security="tls", username=USER, ca=authority.pem)
        for number in range(5):
            send(CHANNEL, given, ANA, message(key=f"k{number}"), secret=SECRET, keep=keep)
    assert (len(seen.taken), seen.connections, seen.logins, seen.noops) == (5, 1, 1, 4)


def test_another_password_is_another_connection(authority: Authority) -> None:
    with office(tls=authority.server("127.0.0.1")[0], login=True) as seen, keeping() as keep:
        given = options(seen, security="tls", username=USER, ca=authority.pem)
        send(CHANNEL, given, ANA, secret=SECRET, keep=keep)
        assert refusal(CHANNEL, given, ANA, secret={"password": "other"}, keep=keep).kind == "setup"


def test_a_kept_connection_that_died_is_replaced_unseen() -> None:
    with keeping() as keep:
        with office() as first:
            send(CHANNEL, options(first), ANA, keep=keep)
            lines = keep.peek(("email", "lines"))
            assert lines is not None
            (waiting,) = lines._waiting.values()
            waiting[0].client.sock.shutdown(2)
            send(CHANNEL, options(first), ANA, message(key="two"), keep=keep)
            first.refuse["NOOP"] = "421 4.4.2 idle too long"
            send(CHANNEL, options(first), ANA, message(key="three"), keep=keep)
        assert (len(first.taken), first.connections) == (3, 3)


def test_a_connection_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with office() as seen, keeping() as keep:
        send(CHANNEL, options(seen), ANA, keep=keep)
        passed = time.monotonic() + email.KEPT + 1
        monkeypatch.setattr(email.time, "monotonic", lambda: passed)  # type: ignore[attr-defined]
        send(CHANNEL, options(seen), ANA, message(key="two"), deadline=1000.0, keep=keep)
    assert (seen.connections, seen.noops) == (2, 0)


def test_a_refused_port_is_tried_again_later() -> None:
    why = refusal(CHANNEL, options(free_port()), ANA)
    assert why.kind == "later" and "refuses connections" in str(why)


def test_a_server_that_drips_its_greeting_holds_nobody_beyond_the_deadline() -> None:
    stop = talkers.within(5)
    with talkers.talking(talkers.dripping(b"220-still here\r\n", 0.1)) as talker:
        why = refusal(CHANNEL, options(talker.port), ANA, deadline=1.0)
        stop()
    assert why.kind == "later" and "Not finished within 1 s" in str(why)


def test_a_kept_server_that_begins_to_drip_holds_nobody_beyond_the_deadline() -> None:
    def speech(talker: talkers.Talker, line: Any) -> None:
        line.sendall(b"220 hello\r\n")
        for answer in (b"250 here\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n"):
            while not line.recv(65536).endswith(b"\r\n"):
                pass
            line.sendall(answer)
        talkers.dripping(b"250-still here\r\n", 0.1)(talker, line)

    with talkers.talking(speech) as talker, keeping() as keep:
        send(CHANNEL, options(talker.port), ANA, keep=keep)
        stop = talkers.within(6)
        why = refusal(CHANNEL, options(talker.port), ANA, deadline=1.0, keep=keep)
        stop()
    assert why.kind == "later"


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\xff\xfe\x00" * 50 + b"\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"]
)
def test_what_speaks_no_smtp_is_told_as_that(greeting: bytes) -> None:
    with talkers.talking(talkers.saying(greeting)) as talker:
        why = refusal(CHANNEL, options(talker.port), ANA)
    assert why.kind == "later" and "SMTP" in str(why)


def test_an_address_beyond_ascii_needs_a_server_that_takes_it() -> None:
    zoe = Address("zoë@exämple.org")
    with office() as seen:
        assert refusal(CHANNEL, options(seen), zoe).kind == "never"
    with office(utf8=True) as seen:
        send(CHANNEL, options(seen), zoe)
    assert seen.taken[0].to == ["zoë@xn--exmple-cua.org"]


@pytest.mark.parametrize("bad", ["", "ana", "ana@", "@b.org", "a b@c.org", "a@b.org\r\nRCPT TO:<x@y.z>", "a@b,c@d.org",
                                 "a..b@c.org", "<a@b.org>", "a@b.org>", "x" * 250 + "@b.org", "a@-b.org", "a\u2028@b.org"])  # fmt: skip
def test_what_is_no_mailbox_is_no_address(bad: str) -> None:
    with pytest.raises(ValueError, match="mailbox"):
        Address(bad)


@pytest.mark.parametrize("good", ["a@b", "a.b+c@sub.example.co.id", "o'neil@example.org", "a@[192.0.2.1]"])
def test_what_is_a_mailbox_is_taken(good: str) -> None:
    with office() as seen:
        send(CHANNEL, options(seen), Address(good))
    assert seen.taken[0].to == [good]


def test_options_say_what_is_wrong_with_them(place: Path) -> None:
    good = {"host": "mail.example.org", "sender": "a@b.example"}
    assert Options(**good).knocks == 587  # type: ignore[arg-type]
    for bad in ({"host": "a b"}, {"sender": "no"}, {"ca": "not PEM"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Options(**{**good, **bad})  # type: ignore[arg-type]
    assert all(field.metadata["label"] for field in dataclasses.fields(Options))
