"""Messages to send, and what a delivery needs beside them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from notifier.channels.base import Action, Channel, Fact, Hops, Message, Place, Sending, Sent, Undelivered
from probes.base import Keep

SAMPLE = Message(
    key="delivery-17",
    kind="problem",
    severity="critical",
    title="db-02 is down",
    text="No answer to three looks since 09:12 WIB. 4 services hang on it.",
    at=datetime.datetime(2026, 7, 3, 9, 13, tzinfo=datetime.UTC),
    language="en",
    thread="incident-5",
    facts=(Fact("Since", "09:12 WIB"), Fact("Runbook", "How to start it", "https://wiki.example.org/db-02")),
    url="https://pantau.example.org/incidents/5",
    place=Place("Gudang Cikarang", "Jl. Raya 1", -6.3, 107.15),
    actions=(
        Action("acknowledge", "I take it", data="ack:5"),
        Action("mute", "Mute 1 h", data="mute:5:60"),
        Action("open", "Open", url="https://pantau.example.org/incidents/5"),
    ),
)


def message(**changes: Any) -> Message:
    """The sample with `changes`."""
    return dataclasses.replace(SAMPLE, **changes)


def send(
    channel: Channel,
    sender: Any,
    address: Any,
    told: Message = SAMPLE,
    secret: Mapping[str, str] | None = None,
    deadline: float = 10.0,
    keep: Keep | None = None,
    hops: Hops | None = None,
) -> Sent:
    """One delivery; what is kept is closed after it unless `keep` is given."""
    own = keep or Keep()
    try:
        return channel.deliver(Sending(told, sender, secret or {}, address, deadline, own, hops or Hops()))
    finally:
        if keep is None:
            own.close()


def refusal(*args: Any, **named: Any) -> Undelivered:
    """The Undelivered that `send` with these arguments ends in."""
    try:
        sent = send(*args, **named)
    except Undelivered as undelivered:
        return undelivered
    raise AssertionError(f"it was delivered: {sent}")


@contextmanager
def keeping() -> Iterator[Keep]:
    """A Keep for several deliveries."""
    keep = Keep()
    try:
        yield keep
    finally:
        keep.close()
