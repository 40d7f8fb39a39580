"""What is to be looked at: the inventory as frozen values, read in a handful of queries."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session, sessionmaker, undefer

from config.vault import Opener, VaultError, place
from domain import calendar
from domain.baseline import Sensitivity
from domain.calendar import Place
from domain.health import Policy
from domain.inventory import (
    CREDENTIALS,
    FETCHABLE,
    Check,
    Credential,
    Host,
    HostKey,
    LoadTest,
    Threshold,
    Window,
    host_in_group,
    host_parent,
    owner,
)
from domain.options import describe, fill
from domain.reading import Secret
from domain.records import StateInterval
from domain.thresholds import nearest
from poller.sources import Sources
from probes import catalogue
from probes.base import Probe

_log = logging.getLogger("poller")
MONTH = timedelta(days=31)


@dataclass(frozen=True)
class CheckPlan:
    """One check, ready to be looked: `fault` says why it cannot be (bad options, a secret that does not open).

    `fetch` gets its secret at each look where it is kept elsewhere: it blocks, and raises VaultError.
    """

    id: int
    host_id: int
    kind: str
    name: str
    probe: Probe | None
    options: Any
    secret: Secret | None = field(repr=False)
    credential_id: int | None
    interval: float
    deadline: float
    reachability: bool
    fault: str = ""
    fetch: Callable[[], Secret] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Limit:
    """One level of a measure, as a person set it (domain/inventory.Threshold)."""

    measure: str
    part: str
    state: str
    over: float | None
    under: float | None
    clear: float | None
    for_s: float
    clear_for_s: float


@dataclass(frozen=True)
class HostPlan:
    """One machine: its address, its checks, how patient to be, its limits (the nearest owner's), what lies before it."""

    id: int
    name: str
    address: str
    policy: Policy
    checks: tuple[CheckPlan, ...]
    limits: tuple[Limit, ...] = ()
    parents: tuple[int, ...] = ()
    sensitivity: Sensitivity = "usual"
    learn_from: datetime | None = None

    @property
    def asked(self) -> bool:
        """Whether any check says if the machine is there: without one there is nothing to miss."""
        return any(check.reachability for check in self.checks)


@dataclass(frozen=True)
class Plan:
    """Everything to look at. `disabled` are the ids of hosts that are registered and switched off.

    `windows` and `places` are what calendar.muted wants to know, of every registered machine; when machines went down,
    which flexible windows need, `downs` tells. `recording` are machines under a load test now: looked at often.
    """

    hosts: dict[int, HostPlan]
    disabled: frozenset[int] = frozenset()
    windows: tuple[calendar.Window, ...] = ()
    places: dict[int, Place] = field(default_factory=dict)
    recording: frozenset[int] = frozenset()


def load(
    sessions: sessionmaker[Session], opener: Opener, interval: float, attempts: int, remind: float = 0,
    sources: Sources | None = None,
) -> Plan:  # fmt: skip
    """The present inventory as a Plan; `interval` and `attempts` where a host leaves them to the installation.

    `remind`: seconds between reminders of a problem nobody has in hand, 0 for none.
    """
    with sessions() as session:
        keys = _pinned(session)
        limits = _limits(session)
        parents: dict[int, list[int]] = defaultdict(list)
        for host_id, parent_id in session.execute(select(host_parent).order_by(host_parent.c.parent_id)):
            parents[host_id].append(parent_id)
        credentials = {c.id: c for c in session.scalars(select(Credential).options(undefer(Credential.sealed)))}
        checks: dict[int, list[Check]] = defaultdict(list)
        for check in session.scalars(select(Check).where(Check.enabled).order_by(Check.id)):
            checks[check.host_id].append(check)
        hosts, disabled = {}, set()
        for host in session.scalars(select(Host).order_by(Host.id)):
            if not host.enabled:
                disabled.add(host.id)
                continue
            pace = host.interval_s or interval
            plans = tuple(
                _check(check, host, pace, credentials, keys.get(host.id, {}), opener, sources)
                for check in checks[host.id]
            )
            paces = [check.interval for check in plans if check.reachability]
            policy = Policy(min(paces, default=pace), host.attempts or attempts, host.recover_after or 1, remind)
            hosts[host.id] = HostPlan(
                host.id,
                host.name,
                host.address,
                policy,
                plans,
                limits(host),
                tuple(parents[host.id]),
                cast(Sensitivity, host.sensitivity),
                host.learn_from,
            )
        windows, places = _windows(session), _places(session)
        recording = frozenset(session.scalars(_recording()))
    return Plan(hosts, frozenset(disabled), windows, places, recording)


def _recording() -> Select[int]:
    """The machines being recorded, idle or under load."""
    length = func.make_interval(0, 0, 0, 0, 0, LoadTest.minutes)
    return select(LoadTest.host_id).where(
        LoadTest.ended_at.is_(None),
        or_(LoadTest.idle_at + length > func.now(), LoadTest.load_at + length > func.now()),
    )


def maintained(sessions: sessionmaker[Session], plan: Plan, at: datetime) -> frozenset[int]:
    """The ids of the machines under maintenance at `at`. Asks the database only where flexible windows need it."""
    if not plan.windows:
        return frozenset()
    places = plan.places
    if any(window.rule.flexible for window in plan.windows):
        with sessions() as session:
            went = downs(session, at - MONTH)
        places = {id: replace(place, downs=went.get(id, ())) for id, place in places.items()}
    return frozenset(calendar.muted(plan.windows, places, at))


def downs(session: Session, begin: datetime) -> dict[int, tuple[datetime, ...]]:
    """host id -> when it went down, since `begin`."""
    found: dict[int, list[datetime]] = defaultdict(list)
    rows = session.execute(
        select(StateInterval.host_id, StateInterval.since)
        .where(StateInterval.subject == func.concat("host:", StateInterval.host_id))
        .where(StateInterval.state == "down", StateInterval.since >= begin)
        .order_by(StateInterval.since)
    )
    for host_id, since in rows:
        found[host_id].append(since)
    return {host_id: tuple(moments) for host_id, moments in found.items()}


def prepare_options(probe: Probe, values: dict[str, Any], pinned: dict[int, list[str]]) -> Any:
    """The probe's Options from stored values, with the host's pinned keys where the probe asks for them.

    Raises ValueError with one sentence.
    """
    names = {option.name for option in describe(probe.options)}
    options = fill(probe.options, values)
    if "host_keys" in names:
        options = fill(probe.options, {**values, "host_keys": tuple(pinned.get(options.port, ()))})
    return options


def unseal(credential: Credential, opener: Opener, sources: Sources | None = None) -> Secret:
    """The credential's secret, opened, or fetched from where it is kept (which may take seconds). Raises VaultError."""
    if credential.fetched_from:
        return fetch(credential.kind, credential.username, credential.fetched_from, credential.certificate, sources)
    opened = secret_of(
        credential.kind,
        credential.username,
        opener.open(credential.sealed, place("credential", credential.id, credential.seal_id)),
    )
    return replace(opened, certificate=credential.certificate) if credential.certificate else opened


def fetch(kind: str, username: str, source: str, certificate: str, sources: Sources | None) -> Secret:
    """A Secret whose text is kept elsewhere. Raises VaultError."""
    if sources is None or kind not in FETCHABLE:
        raise VaultError("The secret of this credential cannot be fetched from elsewhere. Enter it here.")
    text = sources.fetch(source)
    if kind == "ssh_key":
        return Secret(username, private_key=text, certificate=certificate)
    return Secret(username, password=text.removesuffix("\n").removesuffix("\r"))


def secret_of(kind: str, username: str, opened: bytes) -> Secret:
    """A Secret from what was sealed: JSON with the fields of its kind. Raises KeyError for a kind there is not."""
    value = json.loads(opened)
    return Secret(username, **{field: value.get(field, "") for field in CREDENTIALS[kind]})


def _check(
    check: Check,
    host: Host,
    pace: float,
    credentials: dict[int, Credential],
    pinned: dict[int, list[str]],
    opener: Opener,
    sources: Sources | None,
) -> CheckPlan:
    probe, options, secret, fault = catalogue().get(check.kind), None, None, ""
    fetching: Callable[[], Secret] | None = None
    try:
        if probe is None:
            raise ValueError(f"this version of Pantau has no '{check.kind}' check.")
        options = prepare_options(probe, check.options, pinned)
        if any(option.name == "check_id" for option in describe(probe.options)):
            options = replace(options, check_id=check.id)
        if check.credential_id is not None:
            login = credentials[check.credential_id]
            if login.fetched_from:
                fetching = partial(fetch, login.kind, login.username, login.fetched_from, login.certificate, sources)
            else:
                secret = unseal(login, opener)
    except (ValueError, VaultError, KeyError) as error:
        fault = f"This check cannot be looked at: {error}"
    interval = check.interval_s or pace
    return CheckPlan(
        check.id, host.id, check.kind, check.name, probe, options, secret, check.credential_id, interval,
        min(check.deadline_s, interval), check.reachability, fault, fetching,
    )  # fmt: skip


def _pinned(session: Session) -> dict[int, dict[int, list[str]]]:
    """host id -> port -> trusted keys."""
    found: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for key in session.scalars(select(HostKey).where(HostKey.state == "pinned").order_by(HostKey.id)):
        found[key.host_id][key.port].append(key.key)
    return found


def _windows(session: Session) -> tuple[calendar.Window, ...]:
    """Every window that was not ended. One that this version cannot read silences nobody, and is told on the log."""
    found = []
    for row in session.scalars(select(Window).where(Window.ended_at.is_(None)).order_by(Window.id)):
        try:
            rule = calendar.read(row.kind, row.options, row.zone, resumes=row.resumes_at)
        except ValueError as error:
            _log.warning("Maintenance window %d is left out: %s", row.id, error)
            continue
        found.append(calendar.Window(row.id, rule, row.host_id, row.group_id, row.division_id, row.site_id))
    return tuple(found)


def _places(session: Session) -> dict[int, Place]:
    groups: dict[int, set[int]] = defaultdict(set)
    parents: dict[int, set[int]] = defaultdict(set)
    for host_id, group_id in session.execute(select(host_in_group.c.host_id, host_in_group.c.group_id)):
        groups[host_id].add(group_id)
    for host_id, parent_id in session.execute(select(host_parent.c.host_id, host_parent.c.parent_id)):
        parents[host_id].add(parent_id)
    return {
        id: Place(id, frozenset(groups[id]), division, frozenset(parents[id]), site=site)
        for id, division, site in session.execute(select(Host.id, Host.division_id, Host.site_id))
    }


def _limits(session: Session) -> Callable[[Host], tuple[Limit, ...]]:
    """A function host -> its limits; for each measure and part the nearest owner's word counts alone.

    Nearest is the machine, then its groups, then its division, then what holds for all.
    """
    owned: dict[tuple[str, int | None], list[Threshold]] = defaultdict(list)
    for row in session.scalars(select(Threshold).order_by(Threshold.id)):
        owned[owner(row)].append(row)
    groups: dict[int, list[int]] = defaultdict(list)
    for host_id, group_id in session.execute(select(host_in_group).order_by(host_in_group.c.group_id)):
        groups[host_id].append(group_id)

    def limits(host: Host) -> tuple[Limit, ...]:
        ranks = (
            owned["host", host.id],
            [t for group in groups[host.id] for t in owned["group", group]],
            owned["division", host.division_id] if host.division_id else [],
            owned["all", None],
        )
        return tuple(
            Limit(t.measure, t.part, t.state, t.over, t.under, t.clear, t.for_s, t.clear_for_s)
            for t in nearest(ranks, lambda t: (t.measure, t.part))
        )

    return limits
