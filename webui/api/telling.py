"""Who is told, for programs: what was told and what became of it, the rules, who is on call, and the signs of life."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from flask import abort, url_for
from pydantic import AfterValidator, Field, field_validator
from sqlalchemy import func, select

from domain.clock import now
from domain.deliveries import Delivery as DeliveryRow
from domain.inventory import Division, Host, HostGroup, Person, Site
from domain.recipients import Channel as ChannelRow
from domain.recipients import Lookout as LookoutRow
from domain.recipients import Policy as PolicyRow
from domain.recipients import Rota as RotaRow
from domain.recipients import Route, Shift
from domain.records import Notice
from domain.rights import Right
from webui import access, deliveries, lookouts, policies, receivers, rotas, store
from webui.api.layer import Made, Routes, only_tried
from webui.api.problems import Refusal
from webui.api.shapes import Id, Line, Model, Moment, Named, Page, Paged, after, page
from webui.written import Name

routes = Routes("Who is told")
assert policies.RUNGS == 8


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is no time zone; one is Asia/Jakarta")
    return name


Zone = Annotated[str, Field(max_length=100), AfterValidator(_zone)]
Minute = Annotated[int, Field(ge=0, le=1439, description="Minutes after midnight.")]
Day = Annotated[int, Field(ge=0, le=6, description="Monday is 0.")]


class Chosen(Paged):
    """Which deliveries, newest first."""

    state: Literal["waiting", "sending", "sent", "dropped", "dead"] | None = None
    machine: Id | None = None
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None


class Delivery(Model):
    """One message to one address: what it told of, to whom, by which channel, and what became of it."""

    id: int
    kind: str
    subject: str
    told_state: str
    machine: Named | None
    incident: int | None
    person: str | None
    channel: str | None
    state: Literal["waiting", "sending", "sent", "dropped", "dead"]
    made_at: datetime
    due_at: datetime
    sent_at: datetime | None
    attempts: int
    unsure: bool
    detail: str


class Again(Model):
    """Which to try again: by number, or every dead letter of the last week."""

    ids: Annotated[list[Annotated[int, Field(ge=1, le=2**62)]], Field(max_length=500)] = Field(default_factory=list)
    dead: bool = False


class Retried(Model):
    """How many are tried again now."""

    count: int


class Channel(Model):
    """A way to people. Its secrets go in by the page and never come out."""

    id: int
    kind: str
    name: str
    enabled: bool
    addresses: int
    waiting: int


class Address(Model):
    """One of your own addresses: where messages reach you."""

    id: int
    channel: str
    kind: str
    name: str
    enabled: bool
    severity: Literal["warning", "critical"]
    verified_at: datetime | None
    gone_at: datetime | None
    muted_until: datetime | None


class Addresses(Model):
    """All of them."""

    items: list[Address]


class Muting(Model):
    """Until when nothing is told there; null: it is told again."""

    until: Moment | None


class Rung(Model):
    """Who is told so many seconds after the trouble was: `pic`, `deputy`, `staff`, `admins`, `person:1`, `rota:1`, `route:1`."""

    after: Annotated[int, Field(ge=0, le=policies.LONGEST_WAIT * 60)]
    to: Annotated[list[Line], Field(min_length=1, max_length=50)]


class PolicyEntry(Model):
    """A rule: whom it is for (division, site, group by name; null: any), which trouble, at which hours, and its ladder."""

    name: Name
    enabled: bool = True
    division: Line | None = None
    site: Line | None = None
    group: Line | None = None
    severity: Literal["warning", "critical"] | None = None
    from_minute: Minute | None = None
    to_minute: Minute | None = None
    days: Annotated[list[Day], Field(max_length=7)] = Field(default_factory=list)
    zone: Zone | None = None
    steps: Annotated[list[Rung], Field(max_length=8)] = Field(default_factory=list)


class Policy(PolicyEntry):
    """A rule with its number and its place: they are asked in this order, and the first that fits decides."""

    id: int
    position: int


class Policies(Model):
    """The rules in the order in which they are asked."""

    items: list[Policy]


class Moving(Model):
    """To which place, from 0."""

    position: Annotated[int, Field(ge=0, le=10_000)]


class Would(Model):
    """Of which machine, at which moment, how grave."""

    machine: Id
    at: Moment | None = None
    severity: Literal["warning", "critical"] = "critical"


class WouldRung(Model):
    """Who would be told after so many seconds."""

    after: float
    people: list[str]
    groups: list[str]
    missed: list[str]


class WouldBeTold(Model):
    """Which rule decides (empty: the usual ladder), and who would be told."""

    rule: str
    rungs: list[WouldRung]


class RotaEntry(Model):
    """Who is on call in turn: `people` by number, each for `days` days, from `starts_at` on."""

    name: Name
    zone: Zone | None = None
    starts_at: Moment
    days: Annotated[int, Field(ge=1, le=365)] = 7
    people: Annotated[list[Id], Field(min_length=1, max_length=rotas.PLACES)]


class Turn(Model):
    """Somebody is on call from then until then."""

    person: Named
    since: datetime
    until: datetime


class Swap(Model):
    """Somebody is on call then, whatever the turn says."""

    person: Id
    since: Moment
    until: Moment


class Swapped(Turn):
    """A swap, and its number."""

    id: int


class Rota(Model):
    """A rota, who is on call now, the swaps to come, and the turns of the next eight weeks."""

    id: int
    name: str
    zone: str
    starts_at: datetime
    days: int
    people: list[Named]
    on_call: Named | None
    swaps: list[Swapped]
    turns: list[Turn]


class Rotas(Model):
    """All of them, by name."""

    items: list[Rota]


class LookoutEntry(Model):
    """An address that is called every so many seconds while machines are looked at: silence there is an alarm there."""

    name: Name
    url: Annotated[str, Field(min_length=8, max_length=lookouts.LONGEST_URL)]
    every: Annotated[int, Field(ge=10, le=86400)] = 60
    enabled: bool = True

    @field_validator("url")
    @classmethod
    def _callable(cls, value: str) -> str:
        if not lookouts.can_be_called(value):
            raise ValueError("takes the address of a page, beginning with http or https")
        return value


class Lookout(Model):
    """A sign of life, when it was last called and reached, and why not."""

    id: int
    name: str
    url: str
    every: int
    enabled: bool
    tried_at: datetime | None
    told_at: datetime | None
    error: str


class Lookouts(Model):
    """All of them."""

    items: list[Lookout]


@routes.get("/deliveries", None)
def told(query: Chosen) -> Page[Delivery]:
    """What was told, newest first: your own messages; everybody's for administrators."""
    found = deliveries.found_by(access.can(Right.ADMIN))
    if query.state is not None:
        found = found.where(DeliveryRow.state == query.state)
    if query.machine is not None:
        found = found.where(Notice.host_id == query.machine)
    if query.from_ is not None:
        found = found.where(DeliveryRow.made_at >= query.from_)
    if query.to is not None:
        found = found.where(DeliveryRow.made_at < query.to)
    before = after(query.cursor)
    if before:
        found = found.where(DeliveryRow.id < before)
    rows = [
        deliveries.Row(*row)
        for row in store.session().execute(found.order_by(DeliveryRow.id.desc()).limit(query.limit + 1))
    ]
    return page(rows, query.limit, lambda one: one.delivery.id, _delivery)


@routes.post("/deliveries/again", Right.ADMIN)
def again(body: Again) -> Retried:
    """Try messages again that could not be delivered, or were dropped."""
    chosen = deliveries.every_dead() if body.dead else DeliveryRow.id.in_(body.ids)
    done = deliveries.retry(chosen)
    if not done:
        only_tried()
    return Retried(count=done)


@routes.get("/channels", Right.ADMIN)
def channels(query: Paged) -> Page[Channel]:
    """The ways to people."""
    wanted = select(ChannelRow).where(ChannelRow.id > after(query.cursor)).order_by(ChannelRow.id)
    rows = list(store.session().scalars(wanted.limit(query.limit + 1)))
    ways = dict(store.session().execute(select(Route.channel_id, func.count()).where(Route.gone_at.is_(None)).group_by(Route.channel_id)).all())  # fmt: skip
    waiting = dict(store.session().execute(select(DeliveryRow.channel_id, func.count()).where(DeliveryRow.state.in_(["waiting", "sending"])).group_by(DeliveryRow.channel_id)).all())  # fmt: skip
    return page(
        rows,
        query.limit,
        lambda one: one.id,
        lambda one: Channel(
            id=one.id, kind=one.kind, name=one.name, enabled=one.enabled, addresses=ways.get(one.id, 0),
            waiting=waiting.get(one.id, 0),
        ),
    )  # fmt: skip


@routes.get("/me/addresses", None)
def addresses() -> Addresses:
    """Where messages reach you."""
    rows = store.session().execute(
        select(Route, ChannelRow)
        .join(ChannelRow, ChannelRow.id == Route.channel_id)
        .where(Route.person_id == access.person().id)
        .order_by(Route.id)
    )
    return Addresses(items=[_address(row, channel) for row, channel in rows])


@routes.put("/me/addresses/{route_id}/muted", Right.HANDLE)
def mute(route_id: int, body: Muting) -> Address:
    """Silence one of your addresses until a moment, or let it be told again."""
    own = select(Route).where(Route.id == route_id, Route.person_id == access.person().id)
    row = store.session().scalar(own)
    if row is None:
        abort(404)
    if row.muted_until != body.until:
        row.muted_until = body.until
        store.announce("inventory")
    return _address(row, row.channel)


@routes.get("/policies", Right.ADMIN)
def rules() -> Policies:
    """Who is told of what: the first rule that fits decides; none fits: the usual ladder."""
    return Policies(items=[_policy(row) for row in receivers.policies()])


@routes.get("/policies/preview", Right.ADMIN)
def preview(query: Would) -> WouldBeTold:
    """Who would be told of a machine, at a moment."""
    host = store.session().get(Host, query.machine)
    if host is None:
        raise Refusal(422, "There is no such machine.", parameter="machine")
    deciding, rungs = receivers.preview(host, query.severity, query.at or now())
    return WouldBeTold(
        rule=deciding.name,
        rungs=[
            WouldRung(after=one.after, people=[name for name, _ in one.people], groups=one.groups, missed=one.missed)
            for one in rungs
        ],
    )


@routes.get("/policies/{policy_id}", Right.ADMIN)
def rule(policy_id: int) -> Policy:
    """One rule."""
    return _policy(_one(PolicyRow, policy_id))


@routes.post("/policies", Right.ADMIN)
def make_rule(body: PolicyEntry) -> Made[Policy]:
    """Add a rule; it is asked last."""
    last = store.session().scalar(select(func.max(PolicyRow.position)))
    row = _ruled(PolicyRow(position=-1 if last is None else last), body)
    row.position += 1
    store.session().flush()
    return Made(_policy(row), url_for("api.telling_rule", policy_id=row.id))


@routes.put("/policies/{policy_id}", Right.ADMIN, row=PolicyRow, now=rule)
def change_rule(policy_id: int, body: PolicyEntry) -> Policy:
    """Make a rule what is sent."""
    return _policy(_ruled(_one(PolicyRow, policy_id), body))


@routes.post("/policies/{policy_id}/move", Right.ADMIN, row=PolicyRow, now=rule)
def move(policy_id: int, body: Moving) -> Policy:
    """Ask a rule earlier or later."""
    store.session().execute(select(PolicyRow.id).with_for_update())
    rows = receivers.policies()
    row = _one(PolicyRow, policy_id)
    rows.remove(row)
    rows.insert(body.position, row)
    for place, one in enumerate(rows):
        one.position = place
    store.announce("inventory")
    store.session().flush()
    return _policy(row)


@routes.delete("/policies/{policy_id}", Right.ADMIN, row=PolicyRow, now=rule)
def delete_rule(policy_id: int) -> None:
    """Remove a rule; what it decided is decided by those below it."""
    store.session().delete(_one(PolicyRow, policy_id))
    store.announce("inventory")


@routes.get("/rotas", None)
def on_call() -> Rotas:
    """Every rota, who is on call now, and the next eight weeks."""
    return Rotas(items=[_rota(row) for row in receivers.rotas()])


@routes.get("/rotas/{rota_id}", None)
def rota(rota_id: int) -> Rota:
    """One rota."""
    return _rota(_one(RotaRow, rota_id))


@routes.post("/rotas", Right.ADMIN)
def make_rota(body: RotaEntry) -> Made[Rota]:
    """Add a rota."""
    row = _turned(RotaRow(), body)
    return Made(_rota(row), url_for("api.telling_rota", rota_id=row.id))


@routes.put("/rotas/{rota_id}", Right.ADMIN, row=RotaRow, now=rota)
def change_rota(rota_id: int, body: RotaEntry) -> Rota:
    """Make a rota what is sent; its swaps stay."""
    return _rota(_turned(_one(RotaRow, rota_id), body))


@routes.delete("/rotas/{rota_id}", Right.ADMIN, row=RotaRow, now=rota)
def delete_rota(rota_id: int) -> None:
    """Remove a rota; rules that name it reach nobody by it any more."""
    store.session().delete(_one(RotaRow, rota_id))
    store.announce("inventory")


@routes.post("/rotas/{rota_id}/swaps", Right.ADMIN)
def swap(rota_id: int, body: Swap) -> Made[Rota]:
    """Somebody else is on call for some time."""
    row = _one(RotaRow, rota_id)
    person = store.session().get(Person, body.person)
    if person is None or not person.active:
        raise Refusal(422, "There is no such person who may log in.", pointer="#/person")
    if not body.since < body.until <= body.since + rotas.LONGEST_SWAP:
        raise Refusal(422, "The end lies after the beginning, and at most a year later.", pointer="#/until")
    row.shifts.append(Shift(person_id=person.id, since=body.since, until=body.until, made_by=access.person().id))
    store.announce("inventory")
    store.session().flush()
    return Made(_rota(row), url_for("api.telling_rota", rota_id=row.id))


@routes.delete("/rotas/{rota_id}/swaps/{shift_id}", Right.ADMIN)
def unswap(rota_id: int, shift_id: int) -> None:
    """The turn counts again."""
    own = select(Shift).where(Shift.id == shift_id, Shift.rota_id == rota_id)
    found = store.session().scalar(own)
    if found is None:
        abort(404)
    store.session().delete(found)
    store.announce("inventory")


@routes.get("/lookouts", Right.ADMIN)
def signs() -> Lookouts:
    """The signs of life, and how they fare."""
    rows = store.session().scalars(select(LookoutRow).order_by(LookoutRow.name))
    return Lookouts(items=[_lookout(row) for row in rows])


@routes.get("/lookouts/{lookout_id}", Right.ADMIN)
def sign(lookout_id: int) -> Lookout:
    """One sign of life."""
    return _lookout(_one(LookoutRow, lookout_id))


@routes.post("/lookouts", Right.ADMIN)
def make_sign(body: LookoutEntry) -> Made[Lookout]:
    """Add a sign of life."""
    row = _called(LookoutRow(), body)
    return Made(_lookout(row), url_for("api.telling_sign", lookout_id=row.id))


@routes.put("/lookouts/{lookout_id}", Right.ADMIN, row=LookoutRow, now=sign)
def change_sign(lookout_id: int, body: LookoutEntry) -> Lookout:
    """Make a sign of life what is sent."""
    return _lookout(_called(_one(LookoutRow, lookout_id), body))


@routes.delete("/lookouts/{lookout_id}", Right.ADMIN, row=LookoutRow, now=sign)
def delete_sign(lookout_id: int) -> None:
    """Call that address no more."""
    store.session().delete(_one(LookoutRow, lookout_id))
    store.announce("inventory")


def _one(table: Any, id: int) -> Any:
    found = store.session().get(table, id)
    if found is None:
        abort(404)
    return found


def _free(table: Any, row: Any, name: str) -> None:
    with store.session().no_autoflush:
        found = store.session().scalar(select(table.id).where(table.name == name))
    if found is not None and found != row.id:
        raise Refusal(409, "Another one has this name. Choose another name.", pointer="#/name")


def _delivery(row: deliveries.Row) -> Delivery:
    one, notice = row.delivery, row.notice
    machine = Named(id=notice.host_id, name=row.machine) if notice.host_id is not None and row.machine else None
    return Delivery(
        id=one.id, kind=notice.kind, subject=notice.subject, told_state=notice.state, machine=machine,
        incident=notice.incident_id, person=row.person, channel=row.channel, state=one.state, made_at=one.made_at,
        due_at=one.due_at, sent_at=one.sent_at, attempts=one.attempts, unsure=one.unsure, detail=one.detail,
    )  # fmt: skip


def _address(row: Route, channel: ChannelRow) -> Address:
    return Address(
        id=row.id, channel=channel.name, kind=channel.kind, name=row.name, enabled=row.enabled, severity=row.severity,
        verified_at=row.verified_at, gone_at=row.gone_at, muted_until=row.muted_until,
    )  # fmt: skip


def _ruled(row: PolicyRow, body: PolicyEntry) -> PolicyRow:
    """The rule as it was sent, if it makes sense."""
    known = receivers.names()
    for number, step in enumerate(body.steps):
        strange = [name for name in step.to if name not in known]
        if strange:
            raise Refusal(422, f"There is no receiver '{strange[0]}'.", pointer=f"#/steps/{number}/to")
    if len({step.after for step in body.steps}) < len(body.steps):
        raise Refusal(422, "Two rungs come at the same time; make one of them.", pointer="#/steps")
    if (body.from_minute is None) != (body.to_minute is None):
        raise Refusal(422, "Hours have a beginning and an end; without both: always.", pointer="#/from_minute")
    _free(PolicyRow, row, body.name)
    row.name, row.enabled, row.severity = body.name, body.enabled, body.severity
    row.from_minute, row.to_minute = body.from_minute, body.to_minute
    row.days = sorted(set(body.days)) if body.from_minute is not None and len(set(body.days)) < 7 else []
    row.zone = body.zone or store.settings().zone
    row.steps = [
        {"after": step.after, "to": list(dict.fromkeys(step.to))}
        for step in sorted(body.steps, key=lambda one: one.after)
    ]
    kinds: tuple[tuple[str, Any], ...] = (("division", Division), ("site", Site), ("group", HostGroup))
    for kind, table in kinds:
        name = getattr(body, kind)
        with store.session().no_autoflush:
            found = store.session().scalar(select(table).where(table.name == name)) if name is not None else None
        if name is not None and found is None:
            raise Refusal(422, f"There is no {kind} '{name}'.", pointer=f"#/{kind}")
        setattr(row, kind, found)
    store.session().add(row)
    store.announce("inventory")
    store.session().flush()
    return row


def _policy(row: PolicyRow) -> Policy:
    return Policy(
        id=row.id, position=row.position, name=row.name, enabled=row.enabled,
        division=row.division.name if row.division else None, site=row.site.name if row.site else None,
        group=row.group.name if row.group else None, severity=row.severity, from_minute=row.from_minute,
        to_minute=row.to_minute, days=list(row.days), zone=row.zone,
        steps=[Rung(after=int(step["after"]), to=list(step["to"])) for step in row.steps],
    )  # fmt: skip


def _turned(row: RotaRow, body: RotaEntry) -> RotaRow:
    there = set(store.session().scalars(select(Person.id).where(Person.id.in_(body.people), Person.active)))
    strange = [id for id in body.people if id not in there and id not in (row.people or ())]
    if strange:
        raise Refusal(422, f"There is no person {strange[0]} who may log in.", pointer="#/people")
    _free(RotaRow, row, body.name)
    row.name, row.zone = body.name, body.zone or store.settings().zone
    row.starts_at, row.days, row.people = body.starts_at, body.days, list(body.people)
    store.session().add(row)
    store.announce("inventory")
    store.session().flush()
    return row


def _rota(row: RotaRow) -> Rota:
    at = now()
    hour = at.replace(minute=0, second=0, microsecond=0)  # within an hour the answer stays what it is
    rule, names = receivers.rota(row), dict(store.session().execute(select(Person.id, Person.name)).all())

    def named(id: int) -> Named:
        return Named(id=id, name=names.get(id, "–"))

    today = rule.on_call(at)
    return Rota(
        id=row.id, name=row.name, zone=row.zone, starts_at=row.starts_at, days=row.days,
        people=[named(id) for id in row.people], on_call=named(today) if today else None,
        swaps=[
            Swapped(id=one.id, person=named(one.person_id), since=one.since, until=one.until)
            for one in row.shifts if one.until > hour
        ],
        turns=[Turn(person=named(one.person), since=one.since, until=one.until) for one in rule.turns(hour, hour + rotas.WEEKS)],
    )  # fmt: skip


def _called(row: LookoutRow, body: LookoutEntry) -> LookoutRow:
    _free(LookoutRow, row, body.name)
    if row.url != body.url:
        row.told_at, row.error = None, ""
    for name, value in body.model_dump().items():
        setattr(row, name, value)
    store.session().add(row)
    store.announce("inventory")
    store.session().flush()
    return row


def _lookout(row: LookoutRow) -> Lookout:
    return Lookout(
        id=row.id, name=row.name, url=row.url, every=row.every, enabled=row.enabled, tried_at=row.tried_at,
        told_at=row.told_at, error=row.error,
    )  # fmt: skip
