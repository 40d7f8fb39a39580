"""One host gone stale, or a poller gone silent: who is told of which, and from when to when."""

from __future__ import annotations

from domain.health import Policy, Track
from domain.routing import Notice
from domain.silence import Passed, Watch, judge
from domain.told import Told

MINUTE, FIVE = Policy(), Policy(interval=300)


def heard(at: float, state: str = "up", **more: object) -> Track:
    """A host last heard of then."""
    return Track(state, 0, seen=at, started=at, **more)  # type: ignore[arg-type]


def judged(watch: Watch, now: float, **hosts: Track | tuple[Track, Policy]) -> Passed:
    return judge(
        watch, {name: host if isinstance(host, tuple) else (host, MINUTE) for name, host in hosts.items()}, now
    )


def test_all_hosts_stale_is_one_silent_poller_since_the_last_of_them_was_heard() -> None:
    passed = judged(Watch(), 300, a=heard(100), b=heard(110))
    assert passed.watch == Watch(silent=True)
    assert passed.notice == Notice("poller_silent", 300, "unknown", 110)
    assert [track.told for track, _ in passed.hosts.values()] == [Told(check="poller")] * 2
    assert judged(passed.watch, 310, **{name: track for name, (track, _) in passed.hosts.items()}).notice is None


def test_the_first_host_heard_again_brings_the_poller_back_since_then() -> None:
    back = judged(Watch(silent=True), 400, a=heard(390), b=heard(395), c=heard(100, "unknown", stale=True))
    assert back.watch == Watch(back=400)
    assert back.notice == Notice("poller_back", 400, "up", 390)
    still = judged(Watch(silent=True), 400, a=Track(since=399), c=heard(100, "unknown", stale=True))
    assert still.notice is None and still.watch == Watch(silent=True)


def test_for_three_of_the_longest_intervals_after_that_the_hosts_are_left_to_the_pollers_word() -> None:
    stale = heard(100, "unknown", stale=True, told=Told(check="poller"))
    for now, check in ((1300, "poller"), (1301, "")):
        passed = judged(Watch(back=400), now, a=(heard(now - 1), FIVE), c=stale)
        assert passed.hosts["c"][0].told.check == check


def test_hosts_that_are_switched_off_are_nobody_and_without_hosts_nobody_is_silent() -> None:
    off = heard(100, "disabled")
    assert judged(Watch(), 10_000, a=off) == Passed(Watch(), {"a": (off, None)}, None)
    assert judged(Watch(), 10_000).notice is None
    assert judged(Watch(), 300, a=heard(100), b=off).notice is not None
    assert judged(Watch(back=0), 0.5).notice is None and judged(Watch(back=0), 10).watch == Watch(back=0)


def test_a_poller_is_suspected_when_nothing_came_for_more_than_two_intervals_of_each_host() -> None:
    for quiet, check in ((120, ""), (121, "poller")):
        passed = judged(Watch(), 1000, a=heard(1000 - quiet), b=heard(100))
        assert passed.notice is None
        assert passed.hosts["b"][0].told.check == check
    assert judged(Watch(), 1000, a=(heard(500), FIVE), b=heard(100)).hosts["b"][0].told.check == ""
    assert judged(Watch(), 1000, a=(heard(399), FIVE), b=heard(100)).hosts["b"][0].told.check == "poller"


def test_only_a_grey_stale_host_is_marked_and_who_was_told_of_itself_stays_so() -> None:
    told = heard(100, "unknown", stale=True, told=Told(check="self"))
    red = heard(100, "down", stale=True)
    passed = judged(Watch(), 1000, a=told, b=red, c=heard(900))
    assert passed.hosts["a"] == (told, None) and passed.hosts["b"] == (red, None)
