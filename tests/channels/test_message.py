"""What a tired reader reads: what it is, since when, why, what hangs on it, and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from notifier.message import Reader, word
from notifier.speech import Speech
from notifier.story import Story

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
STORY = Story(
    notice=1, kind="problem", subject="host:7", state="down", since=NOW - timedelta(minutes=3), at=NOW, outage=None,
    incident=42, host=7, name="db-02", address="192.0.2.7", check="", division="Finance", site="Bandung",
    site_address="Jl. Asia Afrika 1", latitude=-6.92, longitude=107.61, cause="No answer to 10 pings.", owner="Rina",
    note="", closing="", runbook="https://wiki.example.com/db", behind=2, names=("web-1", "web-2"), parents=("router",),
)  # fmt: skip
ENGLISH = Reader(Speech("en", "Asia/Jakarta"), "https://pantau.example.com")
INDONESIAN = Reader(Speech("id", "Asia/Jakarta"), "https://pantau.example.com")


def facts(story: Story, reader: Reader = ENGLISH) -> dict[str, str]:
    return {fact.label: fact.value for fact in word([story], reader, "k", NOW).facts}


def test_a_machine_that_is_down_is_told_with_everything_that_is_known() -> None:
    message = word([STORY], ENGLISH, "k", NOW, thread="incident-42")
    assert message.title == "db-02 is down" and message.severity == "critical"
    assert "No answer to 10 pings." in message.text and "2 machines behind it" in message.text
    assert message.url == "https://pantau.example.com/incidents/42"
    assert [action.data for action in message.actions] == ["ack:42", "", "mute:42"]
    assert message.place is not None and "mlat=-6.92" in message.place.map_url
    told = facts(STORY)
    assert (
        told["Since"] == "21 Nov 2026 09:57 WIB" and told["Behind it"] == "web-1, web-2" and told["In hand"] == "Rina"
    )
    assert told["What to do"] == "https://wiki.example.com/db" and told["State"] == "Down"


def test_a_failed_check_is_no_machine_that_is_down() -> None:
    story = replace(STORY, subject="check:9", check="shop", cause="The server answers 503.")
    assert word([story], ENGLISH, "k", NOW).title == "db-02: shop fails"
    assert facts(story)["State"] == "Failed"


def test_a_number_far_from_its_normal_says_what_is_usual_in_the_readers_language() -> None:
    subject = "metric:9:system.cpu.utilization:"
    story = replace(STORY, subject=subject, state="warning", cause="0.06 usually 0.3 0.405")
    message = word([story], ENGLISH, "k", NOW)
    assert message.severity == "warning" and "usual at this hour is 30" in message.text and "40.5" in message.text
    assert "40,5" in word([story], INDONESIAN, "k", NOW).text


def test_a_recovery_says_how_long_it_lasted() -> None:
    story = replace(STORY, kind="recovery", state="up", outage=7260.0)
    message = word([story], ENGLISH, "k", NOW)
    assert message.title == "db-02 is up again" and message.severity == "good"
    assert "2 hr, 1 min" in message.text.replace("\u202f", " ").replace("\u00a0", " ")
    assert [action.kind for action in message.actions] == ["open"]


def test_many_at_once_are_counted_and_named() -> None:
    stories = [replace(STORY, notice=n, subject=f"host:{n}", name=f"m{n:02}") for n in range(40)]
    stories.append(replace(STORY, notice=99, subject="host:99", name="well", kind="recovery", state="up"))
    message = word(stories, ENGLISH, "k", NOW)
    assert message.title == "40 problems, 1 well again" and message.severity == "critical"
    assert "m00, m01" in message.text and "and 10 more" in message.text
