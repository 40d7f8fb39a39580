"""The texts of a message made safe to be shown anywhere, and the few words that are the channels' own."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from notifier.channels.base import Action, Fact, Message, Place
from probes.limits import clean

TITLE, TEXT, LABEL, VALUE, URL = 240, 6000, 80, 800, 2000
"""The most characters of each kind of text."""
FACTS = 40
"""The most facts of a message."""
THREAD = re.compile(r"[A-Za-z0-9_-]{1,32}")
KEY = re.compile(r"[\x21-\x7e]{1,200}")

_WORDS = {
    "en": {
        "where": "Where",
        "map": "Map",
        "open": "Open in Pantau",
        "critical": "Something is down",
        "warning": "Something needs a look",
        "good": "Something is well again",
        "info": "There is news",
        "discreet": "Open Pantau to see what it is.",
    },
    "id": {
        "where": "Lokasi",
        "map": "Peta",
        "open": "Buka di Pantau",
        "critical": "Ada yang mati",
        "warning": "Ada yang perlu dilihat",
        "good": "Ada yang pulih",
        "info": "Ada kabar",
        "discreet": "Buka Pantau untuk melihatnya.",
    },
}
MARKS = {"critical": "🔴", "warning": "🟠", "good": "🟢", "info": "🔵"}
"""A sign for each severity, beside words that say the same."""


def word(message: Message, name: str) -> str:
    """A channel's own word in the reader's language (English where we do not speak it)."""
    return _WORDS.get(message.language.lower()[:2], _WORDS["en"])[name]


def line(text: str, limit: int = TITLE) -> str:
    """One line of at most `limit` characters, nothing in it that forges another."""
    return " ".join(clean(text, limit).split())


def lines(text: str, limit: int = TEXT) -> str:
    """Several lines of at most `limit` characters; never more than one empty line at a time."""
    return re.sub(r"\n{3,}", "\n\n", clean(text, limit, lines=True))


def link(url: str) -> str:
    """`url` if it is one that may stand behind a link (http or https, whole, unbroken), else ""."""
    if (
        len(url) > URL
        or not re.fullmatch(r"""https?://[^\s<>"'`\\{}|^]+""", url, re.IGNORECASE)
        or clean(url, URL) != url
    ):
        return ""
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    return url if known and parts.username is None else ""


def safe(message: Message) -> Message:
    """The same message with every text clean and bounded, bad links and coordinates left out.

    A key or a thread that is not as promised becomes the name of itself: a repetition stays one, a conversation too.
    """
    title = line(message.title) or line(message.text) or "Pantau"
    return replace(
        message,
        key=message.key if KEY.fullmatch(message.key) else name_of(message.key),
        kind=line(message.kind, 40),
        severity=message.severity if message.severity in MARKS else "info",
        title=title,
        text=lines(message.text),
        language=line(message.language, 10),
        thread=thread(message.thread),
        replaces=line(message.replaces, 200),
        facts=tuple(_fact(fact) for fact in message.facts[:FACTS]),
        url=link(message.url),
        place=_place(message.place),
        actions=tuple(_action(action) for action in message.actions[:6]),
        ttl=message.ttl if math.isfinite(message.ttl) and message.ttl > 0 else 0.0,
    )


def thread(name: str) -> str:
    """`name` if it is safe in URLs and headers and short enough, else a digest of it; empty stays empty."""
    return name if not name or THREAD.fullmatch(name) else name_of(name)[:32]


def name_of(text: str) -> str:
    """A name for any text: 40 characters of hexadecimal, the same for the same text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def cut(text: str, size: int) -> str:
    """`text` in at most `size` bytes of UTF-8, never within a character; an ellipsis says that more was there."""
    raw = text.encode()
    if len(raw) <= size:
        return text
    return raw[: max(0, size - 3)].decode("utf-8", "ignore").rstrip() + "…" if size >= 3 else ""


def plain(message: Message) -> str:
    """The whole of a safe message as plain text."""
    parts = [message.title]
    if message.text:
        parts.append(message.text)
    rows = [row_text(row) for row in rows_of(message)]
    if rows:
        parts.append("\n".join(rows))
    if message.url:
        parts.append(f"{word(message, 'open')}: {message.url}")
    return "\n\n".join(parts)


@dataclass(frozen=True, slots=True)
class Row:
    """One particular as every channel shows it; `links` are (words, URL)."""

    label: str
    value: str
    links: tuple[tuple[str, str], ...] = ()


def rows_of(message: Message) -> tuple[Row, ...]:
    """The facts of a safe message, then its place with the way to a map, unless a fact names that place already."""
    place = message.place
    where = ", ".join(part for part in (place.name, place.address) if part) if place else ""
    ways = ((word(message, "map"), place.map_url),) if place and place.map_url else ()
    rows = [
        Row(fact.label, fact.value, ways or _ways(fact)) if fact.value == where else Row(fact.label, fact.value, _ways(fact))
        for fact in message.facts
    ]  # fmt: skip
    if place is not None and all(fact.value != where for fact in message.facts):
        rows.append(Row(word(message, "where"), where, ways))
    return tuple(rows)


def _ways(fact: Fact) -> tuple[tuple[str, str], ...]:
    return ((fact.url, fact.url),) if fact.url else ()


def row_text(row: Row) -> str:
    """A row as a line of plain text."""
    links = " ".join(url for _, url in row.links if url != row.value)
    said = " ".join(part for part in (row.value, links) if part)
    return f"{row.label}: {said}" if row.label else said


def _fact(fact: Fact) -> Fact:
    return Fact(line(fact.label, LABEL), line(fact.value, VALUE), link(fact.url))


def _action(action: Action) -> Action:
    data = action.data if re.fullmatch(r"[\x21-\x7e]{1,40}", action.data) else ""
    return replace(action, label=line(action.label, 40) or action.kind, data=data, url=link(action.url))


def _place(place: Place | None) -> Place | None:
    if place is None:
        return None
    there = Place(line(place.name, 120), line(place.address, 240))
    latitude, longitude = place.latitude, place.longitude
    if latitude is None or longitude is None or not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return there if there.name or there.address else None
    return replace(there, latitude=latitude, longitude=longitude)
