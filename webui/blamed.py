"""What is wrong on the page that is being drawn, gathered while its fields are drawn: a summary at the top leads to each.

A fault far below what one sees is no fault told. Where a page is long the summary takes the focus, else the first field
that is wrong does; both by the page alone, without a script.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Flask, g

SHORT = 3
"""With at most so many fields a page is seen at a glance and needs no summary."""


@dataclass(frozen=True)
class Wrong:
    """One fault: the id of what it is beside, what that is called (or nothing), and the sentence."""

    id: str
    label: str
    sentence: str


@dataclass
class Drawn:
    """The fields of this page so far."""

    count: int = 0
    wrong: list[Wrong] = field(default_factory=list)


def install(app: Flask) -> None:
    """Make it known to the templates."""
    app.jinja_env.globals.update(blamed=blamed, wrongs=wrongs)


def blamed(id: str, label: str, sentence: str, fields: int = 1) -> str:
    """One field (or a part worth several) is drawn, with what is wrong with it, if anything. Nothing to show here."""
    drawn = _drawn()
    drawn.count += fields
    if sentence:
        drawn.wrong.append(Wrong(id, str(label), str(sentence)))
    return ""


def wrongs() -> list[Wrong]:
    """What is wrong, in the order of the page; empty where the page is short."""
    drawn = _drawn()
    return drawn.wrong if drawn.count > SHORT else []


def _drawn() -> Drawn:
    found: Drawn = g.setdefault("drawn", Drawn())
    return found
