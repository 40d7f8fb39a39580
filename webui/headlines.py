"""The numbers at the top of a machine's page: what is over a limit first, then what usually matters, shares before counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from domain.baseline import Usual
from webui import figures, normals
from webui.language import gettext, lazy_gettext
from webui.looked import STATES, Present
from webui.series import Key
from webui.units import is_share, low_is_bad, say
from webui.wording import titles

FIRST = (
    ("system.cpu.utilization", lazy_gettext("CPU")),
    ("system.memory.utilization", lazy_gettext("Memory")),
    ("system.filesystem.utilization", lazy_gettext("Fullest disk")),
    ("system.network.utilization", lazy_gettext("Busiest line")),
    ("hw.network.bandwidth.utilization", lazy_gettext("Busiest line")),
    ("icmp.rtt.median", lazy_gettext("Ping")),
    ("icmp.loss", lazy_gettext("Ping loss")),
    ("http.duration", lazy_gettext("Web answer")),
    ("tls.certificate.expiry", lazy_gettext("Certificate left")),
    ("system.uptime", lazy_gettext("Running for")),
)
"""What is looked for first, in this order, with a short name."""
NOTHING: Mapping[normals.Key, Usual] = MappingProxyType({})
MOST = 10
LATER = ("system.uptime", "icmp.loss")
"""Shown only where what matters more has left room."""


@dataclass(frozen=True)
class Numeral:
    """One of the numbers at the top; `old` says since when it is no longer true, and is empty while it is."""

    title: Any
    says: str
    part: str
    old: str
    state: str
    usual: str = ""


def headlines(values: Sequence[Present], usual: Mapping[normals.Key, Usual] = NOTHING) -> list[Numeral]:
    """At most MOST numbers: of each measure its worst part. `usual` says what is normal for them now."""
    by_name: dict[str, list[Present]] = defaultdict(list)
    for one in values:
        by_name[one.name].append(one)
    worst = {name: _worst(own) for name, own in by_name.items()}
    short = dict(FIRST)
    bad = sorted((n for n, one in worst.items() if one.state != "ok"), key=lambda n: STATES.index(worst[n].state))
    often = [name for name, _ in FIRST if name in worst and name not in LATER]
    rest = [name for name in _others(worst, values) if name not in short]
    late = [name for name in LATER if name in worst]
    room = MOST - len(late)
    chosen = [*list(dict.fromkeys([*bad, *often, *rest]))[:room], *late]
    return [_numeral(worst[name], short.get(name), usual) for name in dict.fromkeys(chosen)]


def _worst(own: Sequence[Present]) -> Present:
    """The part that needs a look first; the whole of a processor says more than its busiest core."""
    whole = [one for one in own if not one.part]
    sign = 1 if low_is_bad(own[0].name) else -1
    if whole and all(one.state == "ok" for one in own):
        own = whole
    return min(own, key=lambda one: (STATES.index(one.state), sign * one.amount))


def _others(worst: dict[str, Present], values: Iterable[Present]) -> list[str]:
    """The other measures worth a place: shares, then what is there once. What charts fold away is left out, and counts of parts."""
    keys = [Key(one.check_id, one.name, one.part, one.unit) for one in values]
    known = set(figures.CHARTED)
    fit = [
        name
        for name, one in worst.items()
        if name not in known
        and (not one.part or is_share(name, one.unit))
        and not figures.folded(figures.Chart(name, name, (name,)), keys)
    ]
    return sorted(fit, key=lambda name: not is_share(name, worst[name].unit))


def _numeral(one: Present, title: Any, usual: Mapping[normals.Key, Usual]) -> Numeral:
    shown = title if title is not None else gettext(titles().get(one.name, one.name))
    own = usual.get((one.check_id, one.name, one.part))
    says = gettext("usually %(range)s", range=normals.usually(own, one.unit, one.name)) if own else ""
    return Numeral(shown, say(one.amount, one.unit, one.name), one.part, one.old, one.state, says)
