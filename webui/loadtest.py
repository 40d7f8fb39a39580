"""The guided load test: record a machine idle, record it under load, and take limits from both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from domain.baseline import NORMALS
from domain.clock import now
from domain.inventory import Host, LoadTest, Threshold
from domain.loadtest import Proposal, propose
from domain.records import MetricSet, raw
from domain.rights import Right
from domain.thresholds import Level
from webui import access, limitedits, store, whatif
from webui.language import gettext
from webui.units import say
from webui.wording import titles

blueprint = Blueprint("loadtest", __name__, url_prefix="/machines/<int:host_id>/load-test")

LENGTHS = (2, 5, 10)


@dataclass(frozen=True)
class Offer:
    """What is proposed for one metric, with the reason in a sentence and what it would have said."""

    key: str
    title: str
    why: str
    said: str
    rows: tuple[Threshold, ...]


@blueprint.get("")
@access.may(Right.EDIT)
def show(host_id: int) -> str:
    """Where the test stands; the page may be left and opened again."""
    host, moment = access.host(host_id), now()
    test = _open(host)
    stage, until = _stage(test, moment)
    offers = _offers(host, test) if test is not None and stage == "done" else []
    return render_template(
        "edit/loadtest.html", active="machines.index", host=host, test=test, stage=stage, until=until,
        lengths=LENGTHS, offers=offers,
    )  # fmt: skip


@blueprint.post("")
@access.may(Right.EDIT)
def begin(host_id: int) -> Response:
    """Record it idle, now."""
    host = access.host(host_id)
    if _open(host) is None:
        minutes = request.form.get("minutes", 0, int)
        made = LoadTest(
            host_id=host.id, made_by=access.person().id, minutes=minutes if minutes in LENGTHS else LENGTHS[0]
        )
        store.session().add(made)
        store.session().commit()
    return redirect(url_for("loadtest.show", host_id=host.id), 303)


@blueprint.post("/load")
@access.may(Right.EDIT)
def load(host_id: int) -> Response:
    """Record it under load, now."""
    host = access.host(host_id)
    test = _open(host)
    if test is None or _stage(test, now())[0] != "ready":
        abort(404)
    test.load_at = now()
    store.session().commit()
    return redirect(url_for("loadtest.show", host_id=host.id), 303)


@blueprint.post("/end")
@access.may(Right.EDIT)
def end(host_id: int) -> Response:
    """Take over what was ticked of the proposals (none: nothing), and end the test."""
    host = access.host(host_id)
    test = _open(host)
    if test is None:
        abort(404)
    where = url_for("loadtest.show", host_id=host.id)
    ticked = set(request.form.getlist("take"))
    if ticked and _stage(test, now())[0] == "done":
        taken = [row for offer in _offers(host, test) if offer.key in ticked for row in offer.rows]
        same = {(row.measure, row.part, row.state) for row in taken}
        own = store.session().scalars(select(Threshold).where(Threshold.host_id == host.id))
        before = [row for row in own if (row.measure, row.part, row.state) in same]
        edit = limitedits.replace(access.person(), before, taken)
        where = url_for("thresholds.index", host_id=host.id, edit=edit.id)
        flash(gettext("The limits are set."), "good")
    test.ended_at = now()
    store.session().commit()
    return redirect(where, 303)


def _open(host: Host) -> LoadTest | None:
    asked = select(LoadTest).where(LoadTest.host_id == host.id, LoadTest.ended_at.is_(None))
    return store.session().scalars(asked.order_by(LoadTest.id.desc())).first()


def _stage(test: LoadTest | None, moment: datetime) -> tuple[str, datetime | None]:
    """none, idle, ready (for the load), load or done; and until when a recording lasts."""
    if test is None:
        return "none", None
    length = timedelta(minutes=test.minutes)
    if moment < test.idle_at + length:
        return "idle", test.idle_at + length
    if test.load_at is None:
        return "ready", None
    return ("load", test.load_at + length) if moment < test.load_at + length else ("done", None)


def _offers(host: Host, test: LoadTest) -> list[Offer]:
    length = timedelta(minutes=test.minutes)
    assert test.load_at is not None
    idle = _values(host, test.idle_at, test.idle_at + length)
    busy = _values(host, test.load_at, test.load_at + length)
    made = {key: propose(idle.get(key, []), values, NORMALS[key[0]]) for key, values in busy.items()}
    proposals = {key: one for key, one in made.items() if one is not None}
    most = whatif.MOST // max(1, len(proposals))  # all on one page: they share what one question may cost
    found = [_offer(host, *key, one, most) for key, one in proposals.items()]
    return sorted(found, key=lambda one: one.title)


def _offer(host: Host, name: str, part: str, unit: str, made: Proposal, most: int) -> Offer:
    rows = tuple(
        Threshold(
            host_id=host.id, measure=name, part=part, state=state, over=over, clear=(over + made.load) / 2, for_s=300,
            clear_for_s=300,
        )
        for state, over in (("warning", made.warning), ("critical", made.critical))
    )  # fmt: skip
    why = gettext(
        "Idle up to %(idle)s, under load up to %(load)s: more than %(warning)s is more than this load, more than %(critical)s leaves little room.",
        idle=say(made.idle, unit, name), load=say(made.load, unit, name),
        warning=say(made.warning, unit, name), critical=say(made.critical, unit, name),
    )  # fmt: skip
    level = Level("warning", made.warning, None, rows[0].clear, 300, 300)
    said = whatif.ask([host], name, part, level, now(), most).sentence
    title = f"{gettext(titles().get(name, name))} {part}".strip()
    return Offer(f"{name}:{part}", title, why, said, rows)


def _values(host: Host, begin: datetime, end: datetime) -> dict[tuple[str, str, str], list[float]]:
    """(measure, part, unit) -> the samples of a stretch of minutes, of what has a normal; of the whole where there is one."""
    checks = [check.id for check in host.checks]
    asked = (
        select(MetricSet.names, MetricSet.parts, MetricSet.units, raw.c.v)
        .join(MetricSet, MetricSet.id == raw.c.set_id)
        .where(raw.c.check_id.in_(checks), raw.c.ts >= begin, raw.c.ts < end)
        .order_by(raw.c.ts)
        .limit(5000)
    )
    found: dict[tuple[str, str, str], list[float]] = {}
    for names, parts, units, values in store.session().execute(asked):
        whole = {name for name, part in zip(names, parts, strict=True) if not part}
        for name, part, unit, value in zip(names, parts, units, values, strict=False):
            if name in NORMALS and value is not None and not (part and name in whole):
                found.setdefault((name, part, unit), []).append(value)
    return found
