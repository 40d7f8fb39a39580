"""Configuration as code: what a document says becomes true, and nothing else; what is wrong changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from config import vault
from config.database import listening
from domain.inventory import Check, Credential, Host, HostGroup, Threshold, Window
from webui import documents
from webui.documents import DocumentError

MANUAL = Path(__file__).parents[2] / "docs" / "configuration.md"


class Hand:
    """Applies documents to this test's database as the command does, with a vault of its own."""

    def __init__(self, session: Session, place: Path) -> None:
        self.session = session
        vault.create(place / "vault.key", place / "vault.pub")
        self.opener = vault.opener(place / "vault.key")
        self.seal = vault.sealer(place / "vault.pub").seal

    def apply(self, written: str, **more: Any) -> list[str]:
        try:
            lines = list(documents.apply(self.session, documents.parse(written), self.seal, **more))
            self.session.commit()
        except DocumentError:
            self.session.rollback()
            raise
        finally:
            self.session.expire_all()
        return lines

    def refused(self, written: str, **more: Any) -> str:
        """The sentence, after which nothing has changed."""
        before = documents.dump(documents.export(self.session))
        with pytest.raises(DocumentError) as caught:
            self.apply(written, **more)
        sentence = str(caught.value)
        assert "\n" not in sentence and sentence.endswith("."), sentence
        assert documents.dump(documents.export(self.session)) == before
        return sentence

    def secret(self, name: str) -> dict[str, str]:
        row = self.session.scalars(select(Credential).where(Credential.name == name)).one()
        opened: dict[str, str] = json.loads(self.opener.open(row.sealed, f"credential:{row.seal_id}"))
        return opened

    def host(self, name: str) -> Host:
        return self.session.scalars(select(Host).where(Host.name == name)).one()


@pytest.fixture
def hand(session: Session, place: Path) -> Hand:
    return Hand(session, place)


def doc(body: str) -> str:
    return f"version: 1\n{body}"


def private_key(passphrase: str = "") -> str:
    locked: KeySerializationEncryption = NoEncryption()
    if passphrase:
        locked = BestAvailableEncryption(passphrase.encode())
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, locked).decode()


ONE = doc("""
hosts:
  - {name: web1, address: 192.0.2.7, interval: 60, checks: [icmp, {kind: tcp, options: {port: 443}}]}
""")


def test_the_example_of_the_manual_applies_and_applying_it_again_changes_nothing(
    hand: Hand, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = re.search(r"```yaml\n(.*?)```", MANUAL.read_text(), re.S)
    assert example
    (place / "id_monitor").write_text(private_key())
    monkeypatch.chdir(place)
    monkeypatch.setenv("WEB_PASSWORD", "s3cret")
    lines = hand.apply(example[1])
    assert "+ host db1" in lines and "+ check db1/payroll page" in lines and "+ group databases" in lines
    assert lines[-1].endswith("removed.")
    assert hand.apply(example[1]) == []
    assert hand.secret("web login") == {"password": "s3cret"}
    assert [p.name for p in hand.host("db1").parents] == ["router"]
    assert hand.host("router").checks[0].kind == "icmp"


def test_what_is_exported_applies_without_a_change(hand: Hand, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test_the_example_of_the_manual_applies_and_applying_it_again_changes_nothing(hand, place, monkeypatch)
    monkeypatch.delenv("WEB_PASSWORD")
    assert hand.apply(documents.dump(documents.export(hand.session)), prune=True) == []


def test_the_thresholds_a_new_installation_comes_with_survive_export_and_apply(hand: Hand) -> None:
    before = hand.session.scalar(select(func.count(Threshold.id)))
    assert before and hand.apply(documents.dump(documents.export(hand.session))) == []
    assert hand.session.scalar(select(func.count(Threshold.id))) == before


def test_a_division_carries_limits_and_a_machine_how_sensitive_it_is(hand: Hand) -> None:
    body = """
version: 1
divisions:
- name: Warehouse
  thresholds:
  - {measure: system.cpu.utilization, state: warning, over: 0.7, for: 10m}
hosts:
- {name: a, address: 10.0.0.1, division: Warehouse, normal: narrow}
"""
    lines = hand.apply(body)
    assert "+ division Warehouse" in lines
    assert "+ threshold division Warehouse: system.cpu.utilization warning" in lines
    exported = documents.export(hand.session)
    assert [(d.name, d.thresholds[0].over) for d in exported.divisions or ()] == [("Warehouse", 0.7)]
    assert [host.normal for host in exported.hosts or ()] == ["narrow"]
    assert hand.apply(documents.dump(exported)) == []
    lines = hand.apply(body.replace("0.7", "0.6").replace("narrow", "off"))[:2]
    assert lines == [
        "~ threshold division Warehouse: system.cpu.utilization warning: over 0.7 -> 0.6",
        "~ host a: sensitivity narrow -> off",
    ]


def test_a_change_is_told_as_from_and_to(hand: Hand) -> None:
    hand.apply(ONE)
    assert hand.apply(ONE.replace("interval: 60", "interval: 30s")) == [
        "~ host web1: interval 60 -> 30",
        "0 added, 1 changed, 0 removed.",
    ]
    assert hand.apply(ONE.replace("interval: 60, ", ""))[0] == "~ host web1: interval 60 -> (none)".replace("60", "30")
    assert hand.apply(ONE.replace("port: 443", "port: 80"))[1] == "~ check web1/tcp: port 443 -> 80"


def test_a_changed_option_keeps_the_check_and_its_history_but_another_kind_is_another_check(hand: Hand) -> None:
    hand.apply(ONE)
    before = {check.name: check.id for check in hand.host("web1").checks}
    hand.apply(ONE.replace("port: 443", "port: 80"))
    assert {check.name: check.id for check in hand.host("web1").checks} == before
    lines = hand.apply(ONE.replace("{kind: tcp, options: {port: 443}}", "{kind: http, name: tcp}"))
    assert lines[:2] == ["- check web1/tcp", "+ check web1/tcp"]


def test_checks_left_out_are_left_alone_and_an_empty_list_removes_them(hand: Hand) -> None:
    hand.apply(ONE)
    assert hand.apply(doc("hosts: [{name: web1, address: 192.0.2.7, interval: 60}]")) == []
    lines = hand.apply(doc("hosts: [{name: web1, address: 192.0.2.7, interval: 60, checks: []}]"))
    assert lines[:2] == ["- check web1/icmp", "- check web1/tcp"]


def test_a_new_machine_without_checks_is_pinged(hand: Hand) -> None:
    hand.apply(doc("hosts: [{name: a, address: a.example}]"))
    assert [(check.kind, check.name) for check in hand.host("a").checks] == [("icmp", "ping")]


def test_a_machine_not_in_the_file_is_left_alone_until_it_is_named_or_pruned(hand: Hand) -> None:
    hand.apply(ONE)
    other = doc("hosts: [{name: b, address: 192.0.2.8}]")
    assert hand.apply(other)[0] == "+ host b"
    assert hand.host("web1")
    assert hand.apply(doc("remove: [web1, never-was]")) == ["- host web1", "0 added, 0 changed, 1 removed."]
    assert hand.apply(doc("groups: [x]"), prune=True) == ["+ group x", "1 added, 0 changed, 0 removed."]
    assert hand.apply(doc("hosts: []\ngroups: []"), prune=True)[:2] == ["- host b", "- group x"]


def test_pruning_a_parent_takes_it_from_its_children(hand: Hand) -> None:
    hand.apply(doc("hosts: [{name: r, address: 192.0.2.1}, {name: c, address: 192.0.2.2, parents: [r]}]"))
    lines = hand.apply(doc("hosts: [{name: c, address: 192.0.2.2}]\nremove: [r]"))
    assert lines[0] == "- host r" and hand.host("c").parents == []


def test_parents_may_come_later_in_the_file_and_may_not_go_round(hand: Hand) -> None:
    hand.apply(doc("hosts: [{name: c, address: 192.0.2.2, parents: [r]}, {name: r, address: 192.0.2.1}]"))
    said = hand.refused(doc("hosts: [{name: r, address: 192.0.2.1, parents: [c]}]"))
    assert "circle" in said and "c -> r" in said
    assert "circle" in hand.refused(doc("hosts: [{name: s, address: 192.0.2.1, parents: [s]}]"))


def test_the_running_poller_hears_of_it(hand: Hand, database_url: str) -> None:
    with listening(database_url, "inventory") as heard:
        hand.apply(ONE)
        assert [n.channel for n in heard.notifies(timeout=5, stop_after=1)] == ["inventory"]
        hand.apply(ONE)
        list(heard.notifies(timeout=0.3))
        hand.apply(ONE)
        assert list(heard.notifies(timeout=0.3)) == []


PASSWORD = doc("credentials: [{name: c, kind: password, username: u, secret: {env: SECRET_OF_TEST}}]")


def test_a_secret_is_read_once_and_again_only_when_asked_to(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "one")
    assert hand.apply(PASSWORD)[0] == "+ credential c"
    monkeypatch.setenv("SECRET_OF_TEST", "two")
    assert hand.apply(PASSWORD) == []
    assert hand.secret("c") == {"password": "one"}
    assert hand.apply(PASSWORD, renew=True)[0] == "~ credential c: secret read from env:SECRET_OF_TEST"
    assert hand.secret("c") == {"password": "two"}


def test_kept_leaves_the_secret_alone_and_a_new_one_cannot_be_kept(hand: Hand) -> None:
    prompted = doc("credentials: [{name: c, kind: password, secret: prompt}]")
    asked: list[str] = []
    hand.apply(prompted, ask=lambda question: asked.append(question) or "typed")  # type: ignore[func-returns-value]
    assert asked == ["Password of c"]
    assert hand.apply(prompted.replace("prompt", "kept")) == []
    assert hand.apply(prompted) == []
    assert hand.secret("c") == {"password": "typed"}
    assert "no secret to keep" in hand.refused(doc("credentials: [{name: new, kind: password, secret: kept}]"))
    assert "no secret to keep" in hand.refused(doc("credentials: [{name: c, kind: ssh_key, secret: kept}]"))


def test_what_is_exported_never_holds_a_secret(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "canary-7f3a")
    hand.apply(PASSWORD)
    written = documents.dump(documents.export(hand.session))
    assert "canary" not in written and "env: SECRET_OF_TEST" in written


def test_private_keys_are_tried_before_they_are_stored(hand: Hand, place: Path) -> None:
    path = place / "id"
    body = doc(f"credentials: [{{name: k, kind: ssh_key, username: u, secret: {{file: {path}}}}}]")
    assert "is not there" in hand.refused(body)
    path.write_text("ssh-ed25519 AAAA not a private key")
    assert "not a key" in hand.refused(body)
    path.write_bytes(b"\xff\xfe\x00")
    assert "not text" in hand.refused(body)
    path.write_text(private_key("open sesame"))
    assert "locked" in hand.refused(body)
    asking = body.replace("}}]", "}, passphrase: prompt}]")
    assert "passphrase is wrong" in hand.refused(asking, ask=lambda question: "wrong")
    assert hand.apply(asking, ask=lambda question: "open sesame")[0] == "+ credential k"
    assert hand.secret("k") == {"private_key": path.read_text(), "passphrase": "open sesame"}


def test_a_request_from_the_network_reads_no_files_and_no_variables(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "x")
    assert "own machine" in hand.refused(PASSWORD, local=False)


WRONG = [
    ("hosts: [{name: a, address: 192.0.2.1, intervall: 5}]", r"hosts\[0\] 'a' \(line 2\): 'intervall' is not known; known are: name, address"),
    ("hosts:\n - {name: a, address: 192.0.2.1}\n - {name: a, address: 192.0.2.2}", r"hosts\[1\] 'a' \(line 4\): 'a' is there twice"),
    ("hosts: [{name: a}]", "hosts.0. 'a' .line 2.: 'address' is missing"),
    ("hosts: [{name: a, address: 'not a host'}]", "neither an IP address nor a host name"),
    ("hosts: [{name: a, address: 192.0.2.999}]", "neither an IP address nor a host name"),
    ("hosts: [{name: 7, address: 192.0.2.1}]", "'name' takes text; put 7 in quotes"),
    ("hosts: [{name: no, address: 192.0.2.1}]", "put False in quotes"),
    ("hosts: [{name: a, address: 192.0.2.1, interval: soon}]", "'interval' takes a length of time"),
    ("hosts: [{name: a, address: 192.0.2.1, interval: 0}]", "'interval' .*greater than or equal to 1"),
    ("hosts: [{name: a, address: 192.0.2.1, interval: .nan}]", "length of time"),
    ("hosts: [{name: a, address: 192.0.2.1, attempts: 0}]", "'attempts'"),
    ("hosts: [{name: a, address: 192.0.2.1, attempts: true}]", "whole number"),
    ("hosts: [{name: a, address: 192.0.2.1, enabled: 'yes'}]", "true or false"),
    ("hosts: [{name: a, address: 192.0.2.1, groups: [g]}]", "no group 'g'"),
    ("hosts: [{name: a, address: 192.0.2.1, groups: g}]", "'groups' takes a list"),
    ("hosts: [{name: a, address: 192.0.2.1, parents: [z]}]", "no host 'z'"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: pin}]}]", r"checks\[0\].*'kind' is one of .*icmp.*not 'pin'"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: tcp, options: {prot: 1}}]}]", "option 'prot' is not known; known are: port"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [tcp]}]", "option 'port' is required"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: tcp, options: {port: 70000}}]}]", "between 1 and 65535"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: ssh, options: {host_keys: [x]}}]}]", "'host_keys' is not known"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: ssh, credential: c}]}]", "no credential 'c'"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: icmp, credential: c}]}]", "takes no credential"),
    ("hosts: [{name: a, address: 192.0.2.1, checks: [icmp, icmp]}]", r"checks\[1\] 'icmp'.*is there twice"),
    ("hosts: [{name: a, address: 192.0.2.1, thresholds: [{measure: icmp.loss, state: warning}]}]", "exactly one of 'over' and 'under'"),
    ("hosts: [{name: a, address: 192.0.2.1, thresholds: [{measure: icmp.loss, state: warning, over: 1, clear: 2}]}]", "outside its own limit"),
    ("hosts: [{name: a, address: 192.0.2.1, thresholds: [{measure: icmp.loss, state: bad, over: 1}]}]", "'state'"),
    ("hosts: [{name: a, address: 192.0.2.1, note: \"\\e[31m\"}]", "cannot be seen"),
    ("hosts: [{name: a, address: 192.0.2.1}]\nremove: [a]", "cannot be both"),
    ("defaults: {thresholds: [{measure: system.cpu.utilisation, state: warning, over: 1}]}", "did you mean system.cpu.utilization"),
    ("hosts: [7]", r"hosts\[0\]"),
    ("hosts: {a: b}", "'hosts' takes a list"),
    ("hosts: []\nhosts: []", "Line 3: the key 'hosts' was given on line 2 already"),
    ("hosts: [", "not YAML"),
    ("x: &a [*a]", "holds itself"),
    ("hosts: !!python/object/apply:os.system [id]", "not YAML .line 2.*python"),
    ("credentials: [{name: c, kind: password, secret: hunter2}]", "one of: {env: NAME}"),
    ("credentials: [{name: c, kind: password, secret: {env: PANTAU_TEST_NOT_SET}}]", "is not set"),
    ("credentials: [{name: c, kind: password, secret: prompt}]", "nobody is at one"),
    ("credentials: [{name: c, kind: snmp, secret: prompt}]", "'kind'"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "says"), WRONG)
def test_a_wrong_document_is_one_sentence_with_its_place_and_changes_nothing(hand: Hand, body: str, says: str) -> None:
    assert re.search(says, hand.refused(doc(f"{body}\n"))), hand.refused(doc(f"{body}\n"))


@pytest.mark.parametrize("written", ["", "[]", "7", "version: 2", "hosts: []", "\x00", "version: '1'", "- version: 1"])
def test_what_is_no_document_is_refused(hand: Hand, written: str) -> None:
    hand.refused(written)


def test_bombs_are_refused_before_they_grow(hand: Hand) -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12))
    assert "repeat too much" in hand.refused(f"l0: &l0 [x]\n{levels}")
    merged = "\n".join(f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}" for n in range(1, 12))
    assert "repeat too much" in hand.refused(f"m0: &m0 {{a: b}}\n{merged}")
    assert "nested too deeply" in hand.refused("[" * 100_000)
    assert "larger than" in hand.refused("#" * (9 << 20))
    assert "too long" in hand.refused("[" + "a," * 600_000 + "]")


def test_an_error_late_in_the_file_undoes_what_came_before_it(hand: Hand) -> None:
    hand.refused(
        doc("groups: [g]\nhosts: [{name: ok, address: 192.0.2.1}, {name: bad, address: 192.0.2.2, parents: [z]}]")
    )
    assert hand.session.scalar(select(func.count(Host.id))) == 0
    assert hand.session.scalar(select(func.count(HostGroup.id))) == 0


def test_stored_host_keys_survive_an_edit_of_the_check(hand: Hand) -> None:
    body = doc("hosts: [{name: a, address: 192.0.2.1, checks: [{kind: ssh, options: {port: 2222}}]}]")
    hand.apply(body)
    check = hand.session.scalars(select(Check)).one()
    check.options = {**check.options, "host_keys": ["pinned"]}
    hand.session.commit()
    assert hand.apply(body) == []
    hand.apply(body.replace("2222", "22"))
    assert hand.session.scalars(select(Check)).one().options == {"host_keys": ["pinned"]}


words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
numbers = st.floats(min_value=0, max_value=1, allow_nan=False)
limits = st.fixed_dictionaries({"measure": st.sampled_from(["icmp.loss", "system.cpu.utilization"]), "state": st.sampled_from(["warning", "critical"]), "over": numbers, "part": st.one_of(st.just(""), words), "for": st.integers(0, 7200)})  # fmt: skip
some_limits = st.lists(limits, max_size=2, unique_by=lambda limit: (limit["measure"], limit["part"], limit["state"]))
looks = st.one_of(
    st.fixed_dictionaries({"kind": st.just("icmp"), "name": words, "options": st.fixed_dictionaries({}, optional={"count": st.integers(1, 10)}), "enabled": st.booleans()}),
    st.fixed_dictionaries({"kind": st.just("tcp"), "name": words, "options": st.fixed_dictionaries({"port": st.integers(1, 65535)}, optional={"expect": words}), "reachability": st.booleans(), "deadline": st.floats(0.1, 300)}),
)  # fmt: skip
machines = st.fixed_dictionaries(
    {"name": words, "address": st.ip_addresses().map(str), "checks": st.lists(looks, max_size=3, unique_by=lambda look: look["name"])},
    optional={"note": words, "interval": st.floats(1, 86400), "attempts": st.integers(1, 20), "enabled": st.booleans(), "thresholds": some_limits},
)  # fmt: skip


@st.composite
def whole(draw: st.DrawFn) -> dict[str, Any]:
    """Any document without secrets: parents point backwards, groups exist."""
    groups = draw(st.lists(words, max_size=3, unique=True))
    hosts = draw(st.lists(machines, max_size=4, unique_by=lambda host: host["name"]))
    for number, host in enumerate(hosts):
        host["groups"] = draw(st.lists(st.sampled_from(groups), unique=True)) if groups else []
        before = [other["name"] for other in hosts[:number]]
        host["parents"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
    shared = [{"name": group, "thresholds": draw(some_limits)} for group in groups]
    return {"version": 1, "groups": shared, "hosts": hosts, "defaults": {"thresholds": draw(some_limits)}}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(whole())
def test_any_document_comes_back_as_it_was_applied(hand: Hand, plain: dict[str, Any]) -> None:
    document = documents.Document.model_validate(plain)
    list(documents.apply(hand.session, document, hand.seal))
    hand.session.expire_all()
    written = documents.dump(documents.export(hand.session))
    assert list(documents.apply(hand.session, documents.parse(written), hand.seal, prune=True)) == []
    assert list(documents.apply(hand.session, document, hand.seal, prune=True)) == []
    assert documents.parse(documents.dump(document)) == document
    hand.session.execute(text("delete from host; delete from host_group"))
    hand.session.rollback()


WINDOW = """version: 1
groups: [servers]
hosts: [{name: web1, address: 192.0.2.7}]
maintenance:
- {name: patches, group: servers, expression: 0 22 * * 6L, duration: 3h, zone: Asia/Jakarta, lasts: 30m}
- {name: backups, host: web1, weekdays: [sat, sun], at: '22:00', duration: 1h, zone: Europe/Berlin}
- {name: quiet, everything: true, expression: '@daily', duration: 5m, zone: UTC}
"""


def test_maintenance_that_comes_again_is_code_and_comes_back_as_it_was(hand: Hand) -> None:
    assert [line for line in hand.apply(WINDOW) if "maintenance" in line] == [
        "+ maintenance patches", "+ maintenance backups", "+ maintenance quiet",
    ]  # fmt: skip
    written = documents.dump(documents.export(hand.session))
    assert hand.apply(written) == []
    assert hand.apply(WINDOW) == []
    assert documents.dump(documents.export(hand.session)) == written
    changed = WINDOW.replace("'22:00', duration: 1h", "'23:00', duration: 90m")
    assert hand.apply(changed)[0] == "~ maintenance backups: 0 23 * * SAT,SUN for 1h 30m in Europe/Berlin"
    rows = hand.session.scalars(select(Window).order_by(Window.id)).all()
    assert [row.kind for row in rows] == ["cron", "weekly", "cron"]


def test_maintenance_goes_by_pruning_only_and_what_happens_once_is_left_alone(hand: Hand) -> None:
    hand.apply(WINDOW)
    options = {"from": "2026-01-01T00:00+00:00", "until": "2026-01-01T01:00+00:00"}
    hand.session.add(Window(kind="once", options=options, zone="UTC", everything=True, note="quiet"))
    hand.session.commit()
    fewer = WINDOW.replace("- {name: quiet, everything: true, expression: '@daily', duration: 5m, zone: UTC}\n", "")
    assert hand.apply(fewer) == []
    assert hand.apply(fewer.partition("maintenance:")[0], prune=True) == []
    assert hand.apply(fewer, prune=True)[0] == "- maintenance quiet"
    ended = hand.session.scalars(select(Window).where(Window.ended_at.is_not(None))).all()
    assert [(row.note, row.kind) for row in ended] == [("quiet", "cron")]


@pytest.mark.parametrize(
    "change, says",
    [
        (("group: servers", "group: nobody"), "for the group 'nobody', which is not there"),
        (("group: servers", "group: servers, everything: true"), "exactly one host"),
        (("0 22 * * 6L", "0 25 * * 6"), "cron does not understand the hour"),
        (("duration: 5m", "duration: 2d"), "never end"),
        (("duration: 5m", "duration: 100000000000000"), "between a minute and 31 days"),
        (("zone: UTC", "zone: Mars/Olympus"), "no time zone"),
        (("at: '22:00', ", ""), "no time of day"),
        (("weekdays: [sat, sun], at: '22:00'", "duration_: 1h"), "duration_"),
        (("name: quiet, everything: true", "name: backups, host: web1"), "stands twice"),
    ],
)
def test_wrong_maintenance_is_one_sentence_and_changes_nothing(hand: Hand, change: tuple[str, str], says: str) -> None:
    hand.apply("version: 1\ngroups: [servers]\nhosts: [{name: web1, address: 192.0.2.7}]\n")
    assert says in hand.refused(WINDOW.replace(*change))


def test_a_secret_kept_elsewhere_is_only_a_place_and_comes_out_as_it_went_in(hand: Hand) -> None:
    written = doc(
        "credentials: [{name: db, kind: password, username: u, secret: {fetch: 'vault:secret/prod/db#password'}}]\n"
    )
    assert hand.apply(written)[0] == "+ credential db"
    row = hand.session.scalars(select(Credential)).one()
    assert (row.fetched_from, row.sealed) == ("vault:secret/prod/db#password", b"")
    assert hand.apply(documents.dump(documents.export(hand.session))) == []
    assert hand.apply(written.replace("#password", "#other"))[0].startswith("~ credential db: fetched_from")
    kept = written.replace("{fetch: 'vault:secret/prod/db#password'}", "kept")
    assert "fetched from elsewhere" in hand.refused(kept)
    for place in ("env:DATABASE_URL", "file:x", "vault:x", "s3cret"):
        assert "cannot be fetched" in hand.refused(written.replace("vault:secret/prod/db#password", place))
    snmp = written.replace("kind: password", "kind: snmp_v3")
    hand.refused(snmp.replace("name: db", "name: other"))
