"""The engine as the poller uses it: checks beside hosts, what is gone, what is remembered, who is blamed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from domain.health import Change, Outcome, Policy, Result, Track
from domain.judgement import Blamed, Events, Judgement, Spoken, Turned
from domain.reach import Topology
from domain.routing import Notice
from domain.thresholds import Level, MetricChange, MetricTrack
from domain.told import Told
from domain.uplink import Suspicion

HIGH = (Level("warning", over=80),)
QUICK = Policy(attempts=2)


def engine(parents: dict[str, list[str]], policy: Policy = QUICK, **more: Any) -> Judgement:
    rules = Judgement(**more)
    rules.arrange(dict.fromkeys(parents, policy), Topology(parents), 0)
    rules.touched.clear()
    return rules


def fed(rules: Judgement, host: str, word: Outcome, *moments: float) -> Events:
    return [event for at in moments for event in rules.result(host, Result(at, word))]


def checked(rules: Judgement, word: Outcome, *moments: float, check: str = "ssh", policy: Policy = QUICK) -> Events:
    return [event for at in moments for event in rules.check(check, "web", Result(at, word, at - 1), policy)]


def kinds(events: Events) -> list[tuple[str, str]]:
    return [(event.subject, event.notice.kind) for event in events if isinstance(event, Spoken)]


# ---- checks


def test_a_check_has_a_state_of_its_own_and_is_told_of_like_a_host() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "ok", 0)
    assert checked(rules, "ok", 1) == [Turned("ssh", Change("pending", "up", 0, 1, "answered"))]
    assert checked(rules, "fail", 61) == []
    assert checked(rules, "fail", 121) == [
        Turned("ssh", Change("up", "down", 60, 121, "failed")),
        Spoken("ssh", Notice("problem", 121, "down", 60)),
    ]
    assert checked(rules, "fail", 121) == []
    assert rules.checks["ssh"].told == Told("down", 60, at=121)
    assert checked(rules, "ok", 181)[1] == Spoken("ssh", Notice("recovery", 181, "up", 180, 120))


def test_a_check_first_seen_is_pending_since_its_look_began_and_belongs_to_its_host() -> None:
    rules = engine({"web": []})
    rules.check("ssh", "web", Result(8, "fail", 5), QUICK)
    assert rules.checks["ssh"].since == 5 and "ssh" in rules.touched
    rules.forget("web")
    assert rules.checks == {} and "web" not in rules.hosts


def test_what_is_told_of_a_check_waits_while_its_host_is_not_up() -> None:
    for word, moments in (("fail", (0, 60)), ("unknown", (0, 60, 120))):
        rules = engine({"web": []})
        fed(rules, "web", word, *moments)  # type: ignore[arg-type]
        assert kinds(checked(rules, "fail", 61, 121)) == []
        fed(rules, "web", "ok", 180)
        assert kinds(rules.tick(185)) == [("ssh", "problem")]
        assert kinds(rules.tick(190)) == []


def test_a_number_is_told_of_also_while_its_host_cannot_be_asked() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "unknown", 0, 60, 120)
    assert kinds(rules.sample("cpu", "web", 121, 90, HIGH, 60, 122)) == [("cpu", "problem")]


def test_a_check_is_reminded_of_at_the_pace_of_its_host_by_its_looks_and_by_time() -> None:
    rules = engine({"web": []}, Policy(attempts=2, remind=100))
    fed(rules, "web", "ok", 0)
    checked(rules, "fail", 1, 61)
    assert kinds(checked(rules, "fail", 160)) == []
    assert checked(rules, "fail", 161) == [Spoken("ssh", Notice("reminder", 161, "down", 0))]
    fed(rules, "web", "ok", 200)
    assert kinds(rules.tick(260)) == [] and kinds(rules.tick(261)) == [("ssh", "reminder")]


def test_slow_flapping_of_a_check_ends_as_time_passes() -> None:
    rules = engine({"web": []})
    said: list[tuple[str, str]] = []
    for number in range(4):
        said += kinds(checked(rules, "ok", *(number * 600.0 + 60 * place for place in range(5))))
        said += kinds(checked(rules, "fail", *(number * 600.0 + 300 + 60 * place for place in range(5))))
    assert said[-1] == ("ssh", "flap_start")
    fed(rules, "web", "ok", 3959)
    assert kinds(rules.tick(3959)) == []
    assert kinds(rules.tick(3960)) == [("ssh", "flap_stop")]
    assert not rules.checks["ssh"].flapping


def test_a_check_that_is_closed_begins_again_with_its_next_look() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "ok", 0)
    checked(rules, "fail", 1, 61)
    assert rules.close("ssh", 70) == [Turned("ssh", Change("down", "disabled", 70, 70, "disabled"))]
    assert rules.close("ssh", 80) == [] and rules.close("nobody", 80) == []
    assert checked(rules, "ok", 121) == [Turned("ssh", Change("pending", "up", 120, 121, "answered"))]
    rules.close("ssh", 130)
    checked(rules, "fail", 181)
    assert (rules.checks["ssh"].state, rules.checks["ssh"].since) == ("pending", 180)


def test_switching_a_host_off_closes_its_checks_and_numbers_and_nobody_elses() -> None:
    rules = engine({"web": [], "mail": []})
    fed(rules, "web", "ok", 0)
    checked(rules, "ok", 1)
    rules.sample("cpu", "web", 1, 90, HIGH, 60, 1)
    rules.sample("disk", "mail", 1, 90, HIGH, 60, 1)
    assert rules.disable("web", 10) == [
        Turned("web", Change("up", "disabled", 10, 10, "disabled")),
        Turned("ssh", Change("up", "disabled", 10, 10, "disabled")),
        Turned("cpu", MetricChange("warning", "unknown", 10, 10)),
    ]
    assert rules.disable("web", 20) == []
    assert rules.metrics["disk"].state == "warning" and rules.metrics["cpu"].told == Told()
    assert rules.sample("cpu", "web", 30, 90, HIGH, 60, 30) == []
    assert rules.enable("web", 40) == [Turned("web", Change("disabled", "pending", 40, 40, "enabled"))]
    assert rules.enable("web", 50) == []
    assert [event.subject for event in rules.sample("cpu", "web", 60, 90, HIGH, 60, 60)] == ["cpu", "cpu"]


def test_a_number_closed_by_itself_is_grey_in_silence() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "ok", 0)
    rules.sample("cpu", "web", 1, 90, HIGH, 60, 2)
    assert rules.close("cpu", 10) == [Turned("cpu", MetricChange("warning", "unknown", 10, 10))]


def test_a_number_says_when_it_was_measured_and_when_it_was_told() -> None:
    rules = engine({"web": []})
    assert rules.sample("cpu", "web", 1, 50, HIGH, 60, 2) == []
    assert rules.metrics["cpu"] == MetricTrack(since=1, seen=1, levels=rules.metrics["cpu"].levels)
    assert rules.sample("cpu", "web", 61, 90, HIGH, 60, 65) == [
        Turned("cpu", MetricChange("ok", "warning", 61, 61, 90, "warning over")),
        Spoken("cpu", Notice("problem", 65, "warning", 61)),
    ]
    assert rules.sample("cpu", "web", 61, 50, HIGH, 60, 70) == []


# ---- what is gone, new or remembered


def test_nothing_is_left_of_a_host_that_is_gone_and_everything_of_the_others() -> None:
    rules = engine({"web": [], "mail": []})
    for host in ("web", "mail"):
        fed(rules, host, "ok", 0)
        rules.check(f"{host} ssh", host, Result(1, "ok"), QUICK)
        rules.sample(f"{host} cpu", host, 1, 90, HIGH, 60, 1)
        for subject in (host, f"{host} ssh", f"{host} cpu"):
            rules.mute(subject, True, 2)
    rules.forget("web")
    assert (set(rules.hosts), set(rules.checks), set(rules.metrics)) == ({"mail"}, {"mail ssh"}, {"mail cpu"})
    assert rules.muted == {"mail", "mail ssh", "mail cpu"}
    assert rules.disable("mail", 70)[1:] == [
        Turned("mail ssh", Change("up", "disabled", 70, 70, "disabled")),
        Turned("mail cpu", MetricChange("warning", "unknown", 70, 70)),
    ]
    rules.forget("nobody")
    again = fed(rules, "web", "fail", 80, 140)
    assert kinds(again) == [("web", "problem")]
    assert rules.disable("web", 150) == [Turned("web", Change("down", "disabled", 150, 150, "disabled"))]


def test_a_host_that_is_gone_no_longer_counts_against_our_own_line() -> None:
    rules = engine({"a": [], "b": [], "c": []}, suspicion=Suspicion(("gw",), 0.5, 2))
    fed(rules, "c", "ok", 1)
    fed(rules, "a", "fail", 2)
    fed(rules, "b", "fail", 3)
    assert rules.uplink.suspected == 3
    rules.forget("a")
    fed(rules, "c", "ok", 61)
    assert rules.uplink.suspected is None


def test_nothing_is_left_of_a_check_or_number_that_is_gone() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "ok", 0)
    checked(rules, "ok", 1)
    rules.sample("cpu", "web", 1, 90, HIGH, 60, 1)
    rules.sample("disk", "web", 1, 90, HIGH, 60, 1)
    rules.mute("cpu", True, 2)
    for subject in ("ssh", "cpu", "cpu", "nobody"):
        rules.drop(subject)
    assert (rules.checks, set(rules.metrics), rules.muted) == ({}, {"disk"}, set())
    changed = [event.subject for event in fed(rules, "web", "fail", 60, 120) if isinstance(event, Turned)]
    assert changed == ["web", "disk"]
    fed(rules, "web", "ok", 180)
    assert kinds(rules.sample("cpu", "web", 181, 90, HIGH, 60, 181)) == [("cpu", "problem")]
    rules.remember("cpu", "web", MetricTrack("warning", 5, 6))
    rules.sample("disk", "web", 182, 90, HIGH, 60, 182)
    changed = [event.subject for event in fed(rules, "web", "fail", 240, 300) if isinstance(event, Turned)]
    assert changed == ["web", "disk", "cpu"]


def test_what_was_stored_of_checks_and_numbers_goes_on_where_it_was() -> None:
    rules = engine({"web": []})
    rules.remember("ssh", "web", Track("down", 10, failures=2, seen=60, started=60, told=Told("down", 10, at=60)))
    rules.remember("cpu", "web", MetricTrack("warning", 10, 60, told=Told("warning", 10, at=60)))
    fed(rules, "web", "ok", 100)
    assert kinds(checked(rules, "ok", 121)) == [("ssh", "recovery")]
    rules.remember("ssh", "web", Track("up", 10))
    assert [event.subject for event in rules.disable("web", 130)] == ["web", "ssh", "cpu"]


def test_the_first_look_at_a_host_not_arranged_finds_it_pending_under_the_usual_policy() -> None:
    rules = Judgement()
    rules.arrange({}, Topology({}), 0, Policy(attempts=1))
    assert rules.result("web", Result(7, "fail", 5)) == [
        Turned("web", Change("pending", "down", 5, 7, "failed")),
        Spoken("web", Notice("problem", 7, "down", 5)),
    ]
    assert rules.meet("mail", 9) == Track(since=9) == rules.meet("mail", 20)
    rules.arrange({}, Topology({}), 10)  # the usual policy stays
    assert kinds(fed(rules, "mail", "fail", 30)) == [("mail", "problem")]


def test_each_host_has_its_own_patience() -> None:
    rules = Judgement()
    rules.arrange({"web": Policy(attempts=1), "mail": Policy(interval=300)}, Topology({}), 0)
    assert kinds(fed(rules, "web", "fail", 60)) == [("web", "problem")]
    assert fed(rules, "mail", "fail", 60, 120) == []
    grey = [event for event in rules.tick(400) if isinstance(event, Turned)]
    assert grey == []
    rules = Judgement()
    rules.arrange({"web": Policy(interval=60), "mail": Policy(interval=300)}, Topology({}), 0)
    fed(rules, "web", "ok", 10)
    fed(rules, "mail", "ok", 10)
    assert [event.subject for event in rules.tick(400) if isinstance(event, Turned)] == ["web"]


def test_a_host_of_which_no_results_are_to_be_expected_never_goes_stale() -> None:
    rules = Judgement()
    rules.arrange({"web": Policy(), "quiet": Policy()}, Topology({}), 0, unasked=frozenset({"quiet"}))
    fed(rules, "web", "ok", 390)
    assert rules.tick(400) == []
    assert rules.hosts["quiet"].state == "pending"
    rules.arrange({"web": Policy(), "quiet": Policy()}, Topology({}), 400)
    assert [event.subject for event in rules.tick(405) if isinstance(event, Turned)] == ["quiet"]


def test_everything_beside_the_subjects_is_stored_and_taken_over() -> None:
    rules = engine({f"m{number}": [] for number in range(12)}, Policy(attempts=1), suspicion=Suspicion(("gw",), 0.6, 1))
    rules.mute("x", True, 0)
    rules.mute("a", True, 0)
    for number in range(12):
        fed(rules, f"m{number}", "ok", 0)
        rules.sample(f"cpu{number}", f"m{number}", 1, 90, HIGH, 60, 1)
    rules.tick(400)
    stored = json.loads(json.dumps(rules.to_json()))
    assert sorted(stored) == ["crowds", "muted", "uplink", "watch"]
    assert stored["muted"] == ["a", "x"] and stored["watch"] == {"silent": True}
    assert stored["crowds"]["all"]["sent"] == 400
    fed(rules, "m0", "ok", 401)
    fed(rules, "m1", "unknown", 402)
    rules._line.uplink = replace(rules.uplink, suspected=402)
    stored = json.loads(json.dumps(rules.to_json()))
    other = Judgement(Suspicion(("gw",)))
    other.take_over(stored, 500)
    assert json.loads(json.dumps(other.to_json())) == stored
    other.take_over({}, 500)
    assert other.to_json() == Judgement().to_json() == {"watch": {}, "uplink": {}, "crowds": {}, "muted": []}
    other.take_over(stored, 100)
    assert other.uplink.suspected == 100


# ---- who is blamed


def test_a_host_behind_lost_ones_is_blamed_on_the_one_that_was_lost_first() -> None:
    rules = engine({"a": [], "b": [], "web": ["b", "a"], "disk": ["web"]})
    for host in rules.hosts:
        fed(rules, host, "ok", 0)
    fed(rules, "a", "fail", 60, 120)
    fed(rules, "b", "fail", 90, 150)
    events = fed(rules, "web", "fail", 160, 220)
    assert events == [
        Turned("web", Change("up", "unreachable", 160, 220, "blocked")),
        Blamed("web", "a", 220),
    ]
    assert fed(rules, "disk", "fail", 221, 281)[1:] == [Blamed("disk", "a", 281)]
    freed = [event for event in fed(rules, "a", "ok", 290) if isinstance(event, Blamed)]
    assert freed == [Blamed("web", "", 290), Blamed("disk", "web", 290)]  # what lies behind it waits for it alone now


def test_a_down_host_is_blamed_on_what_went_down_before_it_and_let_go_again() -> None:
    rules = engine({"router": [], "web": ["router"]})
    fed(rules, "router", "ok", 0)
    fed(rules, "web", "fail", 1, 61)
    assert Blamed("web", "router", 120) in fed(rules, "router", "fail", 60, 120)
    assert rules.hosts["web"].state == "down"
    assert Blamed("web", "", 180) in fed(rules, "router", "ok", 180)


def test_a_way_that_is_edited_counts_from_then_on() -> None:
    rules = engine({"router": [], "web": ["router"]})
    for word, moments in (("ok", (0,)), ("fail", (60, 120))):
        fed(rules, "router", word, *moments)  # type: ignore[arg-type]
        fed(rules, "web", word, *(at + 1 for at in moments))  # type: ignore[arg-type]
    assert rules.hosts["web"].cause == "router"
    events = rules.arrange({"router": QUICK, "web": QUICK}, Topology({"router": [], "web": []}), 130)
    assert events == [Blamed("web", "", 130)]
    assert kinds(fed(rules, "web", "fail", 181, 241)) == [("web", "problem")]


def test_a_host_behind_our_own_lost_line_is_blamed_on_ourselves() -> None:
    rules = engine({f"m{number}": [] for number in range(3)}, suspicion=Suspicion(("gw",), 0.5, 2))
    for host in rules.hosts:
        fed(rules, host, "ok", 0)
    for host in rules.hosts:
        fed(rules, host, "fail", 60)
    assert rules.uplink.suspected == 60
    for host in rules.hosts:
        fed(rules, host, "fail", 120)
    assert {track.state for track in rules.hosts.values()} == {"up"}
    events: Events = []
    for at in (121.0, 122.0, 123.0):
        events += rules.reference("gw", Result(at, "fail"))
    assert kinds(events) == [("poller", "uplink_lost")]
    assert [event for event in events if isinstance(event, Blamed)] == [
        Blamed(host, "poller", 123) for host in rules.hosts
    ]
    assert kinds(fed(rules, "m1", "ok", 180)) == [("poller", "uplink_back")]
    assert rules.hosts["m0"].cause == ""


def test_without_a_suspicion_the_references_say_nothing() -> None:
    rules = engine({"web": []})
    assert rules.reference("gw", Result(1, "fail")) == [] and rules.uplink.references == {}


def test_a_reference_has_at_least_a_minutes_patience() -> None:
    rules = Judgement(Suspicion(("gw",), 0.5, 1))
    rules.arrange({"web": Policy()}, Topology({}), 0, Policy(interval=1))
    fed(rules, "web", "fail", 10)
    for at in (20, 200, 380):  # 180 seconds between two: no gap at 60, a gap at less
        rules.reference("gw", Result(at, "fail"))
    assert rules.uplink.lost == 10
    rules = Judgement(Suspicion(("gw",), 0.5, 1))
    rules.arrange({"web": Policy()}, Topology({}), 0, Policy(interval=1))
    fed(rules, "web", "fail", 10)
    for at in (20, 200, 380.5):
        rules.reference("gw", Result(at, "fail"))
    assert rules.uplink.lost is None


# ---- quiet


def test_maintenance_of_a_host_covers_what_lies_behind_it_by_every_way_and_its_checks() -> None:
    rules = engine({"r1": [], "r2": [], "web": ["r1", "r2"]})
    fed(rules, "web", "ok", 0)
    rules.mute("r1", True, 1)
    assert kinds(checked(rules, "fail", 2, 62)) == [("ssh", "problem")]
    rules.mute("r2", True, 63)
    assert kinds(checked(rules, "ok", 122)) == []
    rules.sample("cpu", "web", 123, 90, HIGH, 60, 123)
    assert kinds(rules.mute("r2", False, 130)) == [("cpu", "problem")]
    assert kinds(rules.tick(131)) == [("ssh", "recovery")]


def test_the_end_of_maintenance_of_a_number_tells_of_that_number() -> None:
    rules = engine({"web": []})
    fed(rules, "web", "ok", 0)
    assert rules.mute("cpu", True, 1) == []
    assert kinds(rules.sample("cpu", "web", 2, 90, HIGH, 60, 2)) == []
    assert rules.mute("cpu", False, 9) == [Spoken("cpu", Notice("problem", 9, "warning", 2))]


def test_who_takes_a_check_in_hand_may_give_it_back() -> None:
    rules = engine({"web": []}, Policy(attempts=2, remind=10))
    fed(rules, "web", "ok", 0)
    checked(rules, "fail", 1, 61)
    rules.touched.clear()
    rules.acknowledge("ssh")
    assert rules.checks["ssh"].told.acknowledged and rules.touched == {"ssh"}
    assert kinds(rules.tick(100)) == []
    rules.acknowledge("ssh", on=False)
    assert kinds(rules.tick(110)) == [("ssh", "reminder")]
    rules.acknowledge("nobody")


def test_who_takes_it_in_hand_takes_it_out_of_the_digest_and_giving_back_does_not() -> None:
    rules = engine({f"m{number}": [] for number in range(14)}, Policy(attempts=1))
    for number in range(14):
        fed(rules, f"m{number}", "fail", 1 + number / 10)
    rules.acknowledge("m12", on=False)
    rules.acknowledge("m13")
    (digest,) = [event for event in rules.tick(310) if isinstance(event, Spoken) and event.notice.kind == "digest"]
    assert digest.members == ("m11", "m12")
    assert digest.notice == Notice("digest", 310, "down", 310)


def test_only_what_is_another_is_to_be_stored() -> None:
    rules = engine({"web": [], "mail": []})
    fed(rules, "web", "ok", 0)
    rules.sample("cpu", "web", 1, 50, HIGH, 60, 1)
    assert rules.touched == {"web", "cpu"}
    rules.touched.clear()
    rules.result("web", Result(0, "ok"))
    rules.sample("cpu", "web", 1, 50, HIGH, 60, 1)
    rules.tick(5)
    assert rules.touched == set()


@pytest.mark.parametrize("subject", ["web", "cpu"])
def test_reminders_of_hosts_and_numbers_follow_their_hosts_policy(subject: str) -> None:
    rules = engine({"web": []}, Policy(attempts=2, remind=100))
    fed(rules, "web", "ok", 0)
    if subject == "web":
        fed(rules, "web", "fail", 60, 120)
        assert kinds(fed(rules, "web", "fail", 180)) == [] and kinds(fed(rules, "web", "fail", 240)) == [
            ("web", "reminder")
        ]
    else:
        rules.sample("cpu", "web", 1, 90, HIGH, 60, 1)
        assert kinds(rules.sample("cpu", "web", 61, 90, HIGH, 60, 61)) == []
        assert kinds(rules.sample("cpu", "web", 121, 90, HIGH, 60, 121)) == [("cpu", "reminder")]


def test_an_engine_nobody_arranged_judges_by_the_usual_policy() -> None:
    rules = Judgement()
    rules.result("web", Result(7, "unknown", 6))
    assert rules.hosts["web"].since == 7
    assert rules.tick(8) == [] and rules.disable("web", 9) != []
    assert rules.enable("mail", 10) == [] and rules.hosts["mail"] == Track(since=10)


def test_a_host_given_a_lost_parent_is_blamed_on_it_from_then_on() -> None:
    rules = engine({"router": [], "web": []})
    fed(rules, "router", "fail", 0, 60)
    fed(rules, "web", "fail", 1, 61)
    policies = {"router": QUICK, "web": QUICK}
    assert rules.arrange(policies, Topology({"router": [], "web": ["router"]}), 70) == [Blamed("web", "router", 70)]


def test_a_way_out_of_maintenance_tells_what_was_held_back_as_time_passes() -> None:
    rules = engine({"router": [], "web": ["router"]})
    fed(rules, "router", "ok", 0)
    rules.mute("router", True, 1)
    assert kinds(fed(rules, "web", "fail", 2, 62)) == []
    fed(rules, "router", "ok", 60)
    rules.arrange({"router": QUICK, "web": QUICK}, Topology({}), 70)
    assert rules.tick(75) == [Spoken("web", Notice("problem", 75, "down", 2))]


def test_nobody_is_reminded_of_a_host_in_maintenance() -> None:
    rules = engine({"web": []}, Policy(attempts=2, remind=10))
    fed(rules, "web", "fail", 0, 60)
    rules.mute("web", True, 61)
    assert kinds(fed(rules, "web", "fail", 100)) == [] and kinds(rules.tick(110)) == []
    assert kinds(rules.mute("web", False, 120)) == [] and kinds(rules.tick(120)) == [("web", "reminder")]


def test_hosts_that_nobody_asks_any_more_do_not_hide_that_all_others_fail() -> None:
    rules = engine({name: [] for name in "abcd"}, Policy(attempts=9), suspicion=Suspicion((), 0.5, 2))
    for name in "cd":
        fed(rules, name, "ok", 60)
    for name in "ab":
        fed(rules, name, "fail", 60, 120)
    assert rules.uplink.suspected is None
    rules.tick(290)
    assert rules.uplink.suspected == 290


def test_without_references_the_line_is_lost_when_so_many_have_failed_often_enough_by_their_own_measure() -> None:
    rules = engine({name: [] for name in "abc"}, Policy(attempts=2), suspicion=Suspicion((), 0.5, 2))
    events: Events = []
    for at in (60.0, 120.0):
        for place, name in enumerate("abc"):
            events += fed(rules, name, "fail", at + place)
    assert [event for event in events if isinstance(event, Spoken)] == [
        Spoken("poller", Notice("uplink_lost", 121, "down", 61))
    ]
    assert [rules.hosts[name].state for name in "abc"] == ["unreachable"] * 3


def test_a_host_behind_switched_off_ones_stands_behind_our_own_line() -> None:
    rules = engine({"router": [], "web": ["router"], "a": [], "b": []}, suspicion=Suspicion(("gw",), 0.5, 2))
    for name in rules.hosts:
        fed(rules, name, "ok", 0)
    rules.disable("router", 1)
    for name in ("a", "b", "web"):
        fed(rules, name, "fail", 60)
    for at in (61.0, 62.0, 63.0):
        rules.reference("gw", Result(at, "fail"))
    fed(rules, "web", "fail", 120)
    assert (rules.hosts["web"].state, rules.hosts["web"].cause) == ("unreachable", "poller")
    assert kinds(fed(rules, "web", "ok", 180)) == [("poller", "uplink_back")]


def test_switching_the_culprit_off_frees_what_lies_behind_it_at_that_moment() -> None:
    rules = engine({"router": [], "web": ["router"]})
    for at, word in ((0, "ok"), (60, "fail"), (120, "fail")):
        fed(rules, "router", word, at)  # type: ignore[arg-type]
        fed(rules, "web", word, at + 1)  # type: ignore[arg-type]
    assert rules.hosts["web"].state == "unreachable"
    assert kinds(checked(rules, "fail", 130, 190)) == []
    assert Blamed("web", "", 195) in rules.disable("router", 195)
    assert rules.hosts["web"].fresh == 195


def test_a_way_lost_again_takes_back_that_it_was_open() -> None:
    rules = engine({"router": [], "web": ["router"], "own": ["router"]})
    for at, word in ((0, "ok"), (60, "fail"), (120, "fail")):
        fed(rules, "router", word, at)  # type: ignore[arg-type]
        fed(rules, "web", word, at + 1)  # type: ignore[arg-type]
    rules.hosts["own"] = Track("down", 5, failures=3, first_failure=5, seen=120, started=120, told=Told("down", 5))
    fed(rules, "router", "ok", 180)
    assert (rules.hosts["web"].fresh, rules.hosts["own"].fresh) == (180, None)
    fed(rules, "router", "fail", 240, 300)
    assert (rules.hosts["web"].fresh, rules.hosts["web"].state, rules.hosts["web"].cause) == (
        None,
        "unreachable",
        "router",
    )


def test_a_child_not_met_yet_does_not_hide_the_others() -> None:
    rules = Judgement()
    ways = {"ghost": ["router"], "web": ["router"]}
    rules.arrange({"router": QUICK, "web": QUICK}, Topology(ways), 0)
    for at, word in ((0, "ok"), (60, "fail"), (120, "fail")):
        fed(rules, "router", word, at)  # type: ignore[arg-type]
        fed(rules, "web", word, at + 1)  # type: ignore[arg-type]
    fed(rules, "router", "ok", 180)
    assert rules.hosts["web"].fresh == 180
