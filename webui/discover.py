"""Discovery: a network looked through by the poller, rows as they are found, tick, register. Administrators only."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, abort, redirect, render_template, request, url_for
from pydantic import ValidationError
from sqlalchemy import select
from werkzeug.wrappers import Response

from config.vault import VaultError
from domain.clock import now
from domain.inventory import Credential, Division, Host
from domain.requests import Discovery
from webui import access, addresses, audited, logins, offers, proof, registering, store
from webui.documents import DocumentError
from webui.draft import Draft
from webui.forms import Field
from webui.language import gettext
from webui.offers import Logins, Row
from webui.store import announce
from webui.written import Machine

blueprint = Blueprint("discover", __name__, url_prefix="/discover")

MOST, SMALLEST_PREFIX = 4096, 20
RATE, SLOWEST, FASTEST = 100, 2, 2000
"""Questions (a ping, a knock at a port) a second."""
QUESTIONS = 7
"""Asked of an address where nothing answers."""
PATIENCE = timedelta(seconds=8)
STALLED = timedelta(seconds=60)
SNMP_KINDS = ("community", "snmp_v3")


@dataclass(frozen=True)
class Progress:
    """How far it is. `silent`: nobody has begun; `stalled`: whoever worked on it is gone; `left` in seconds."""

    looked: int
    all: int
    done: bool
    stopping: bool
    silent: bool
    stalled: bool
    left: float


@blueprint.route("", methods=["GET", "POST"])
@access.admin
def start() -> Response | str | tuple[str, int]:
    """Say where to look, how fast, and with which SNMP credentials."""
    typed = request.form if request.method == "POST" else None
    draft = Draft(typed)
    text = draft.text(
        Field(
            "addresses",
            gettext("Where to look"),
            "lines",
            required=True,
            help=gettext("Networks, ranges, addresses or names, one a line: 10.0.0.0/24, 10.0.0.5-20, db-02."),
        ),
        200_000,
    )
    rate = draft.number(
        Field(
            "rate",
            gettext("Questions a second"),
            "number",
            value=str(RATE),
            required=True,
            low=SLOWEST,
            high=FASTEST,
            help=gettext("Each ping or port is one; fewer are gentler."),
        )
    )
    community = draft.secret(
        Field("community", gettext("SNMP community"), "secret", help=gettext("Optional; it is kept among the logins."))
    )
    trace = draft.tick(
        Field("trace", gettext("Trace the way to each machine, to suggest what it stands behind"), "check", value="yes")
    )
    stored = _credentials(SNMP_KINDS)
    chosen = {row.id for row in stored if typed is None or str(row.id) in request.form.getlist("snmp")}
    found = addresses.read(text, MOST, SMALLEST_PREFIX)
    wrong = list(found.wrong) if typed is not None and not draft["addresses"].wrong else []
    if draft.good and not wrong and found.addresses:
        if chosen:
            proof.demand()
        try:
            asked = _ask(found, rate or RATE, trace, chosen, community)
        except VaultError as error:
            draft.blame("community", str(error))
        else:
            return redirect(url_for("discover.show", discovery_id=asked), 303)
    draft.remind()
    fields = [draft[name] for name in ("addresses", "rate", "community", "trace")]
    page = render_template(
        "discover/start.html",
        active="machines.index",
        fields=fields,
        wrong=wrong,
        stored=stored,
        chosen=chosen,
        recent=_recent(),
        most=MOST,
    )
    return page if typed is None else (page, 422)


@blueprint.route("/<discovery_id>", methods=["GET", "POST"])
@access.admin
def show(discovery_id: str) -> Response | str | tuple[str, int]:
    """What was found so far; then register what is ticked."""
    discovery = _own(discovery_id)
    chosen = Logins(_named("ssh"), _named("winrm"))
    rows = offers.rows(discovery, chosen)
    if request.method == "GET":
        return _page(discovery, rows, "")
    picked = set(request.form.getlist("address"))
    wanted = [row for row in rows if row.address in picked and not row.watched]
    if not wanted:
        return _page(discovery, rows, gettext("Tick at least one machine to watch.")), 422
    if chosen.ssh or chosen.winrm:
        proof.demand()
    try:
        addition = registering.add("discovery", _machines(wanted))
    except (DocumentError, ValidationError) as error:
        store.session().rollback()
        told = str(error) if isinstance(error, DocumentError) else str(error.errors()[0]["msg"])
        return _page(_own(discovery_id), rows, told), 422
    return redirect(url_for("additions.show", addition_id=addition.id), 303)


@blueprint.post("/<discovery_id>/stop")
@access.admin
def stop(discovery_id: str) -> Response:
    """Stop looking; what was found stays."""
    discovery = _own(discovery_id)
    end(discovery)
    store.session().commit()
    return redirect(url_for("discover.show", discovery_id=discovery.id), 303)


def _ask(found: addresses.Pasted, rate: float, trace: bool, chosen: set[int], community: str) -> str:
    database, credentials = store.session(), sorted(chosen)
    if community:
        login = logins.Login("community", "", {"password": community})
        kept = logins.keep(login, logins.name_for(login))
        database.flush()
        credentials.append(kept.id)
    row = ask(found, rate, trace, set(credentials))
    database.commit()
    return row.id


def ask(found: addresses.Pasted, rate: float, trace: bool, credentials: set[int]) -> Discovery:
    """Ask the poller to look through these addresses; the caller commits."""
    row = Discovery(
        id=str(uuid.uuid4()),
        asked_by=access.person().id,
        addresses=list(found.addresses),
        names=found.names,
        rate=rate,
        credentials=sorted(credentials),
        trace=trace,
    )
    store.session().add(row)
    audited.note(
        "discovery.asked", f"discovery:{row.id}", addresses=len(found.addresses), credentials=sorted(credentials)
    )
    announce("asked", row.id)
    return row


def end(discovery: Discovery) -> bool:
    """Look no further; what was found stays. Whether it was going on. The caller commits."""
    if discovery.done_at is not None or discovery.stop_at is not None:
        return False
    discovery.stop_at = now()
    if discovery.beat_at is None:  # nobody has begun: nobody needs to end it
        discovery.done_at = now()
    audited.note("discovery.stopped", f"discovery:{discovery.id}")
    return True


def _page(discovery: Discovery, rows: list[Row], wrong: str) -> str:
    progress = _progress(discovery)
    posted = request.method == "POST"
    return render_template(
        "discover/show.html",
        active="machines.index",
        discovery=discovery,
        progress=progress,
        pending=not progress.done and not progress.stalled,
        rows=rows,
        new=sum(not row.watched for row in rows),
        wrong=wrong,
        unticked=lambda address: posted and address not in request.form.getlist("address"),
        left_out=lambda box: posted and box not in request.form.getlist("check"),
        called={row.address: row.name for row in rows},
        ssh=_credentials(("password", "ssh_key")),
        winrm=_credentials(("password",)),
        divisions=list(store.session().scalars(select(Division.name).order_by(Division.name))),
        typed=request.form,
    )


def _progress(discovery: Discovery) -> Progress:
    moment, count = now(), len(discovery.addresses)
    done = discovery.done_at is not None
    beat = discovery.beat_at
    return Progress(
        discovery.looked,
        count,
        done,
        discovery.stop_at is not None and not done,
        beat is None and not done and moment - discovery.asked_at > PATIENCE,
        beat is not None and not done and moment - beat > STALLED,
        (count - discovery.looked) * QUESTIONS / discovery.rate,
    )


def _machines(wanted: Iterable[Row]) -> list[Machine]:
    """The ticked rows as entries, each with its ticked checks, named so that no two are alike."""
    rows = list(wanted)
    taken = set(store.session().scalars(select(Host.name)))
    by_address = {host.address: host.name for host in store.session().scalars(select(Host))}
    names: dict[str, str] = {}
    for row in rows:
        names[row.address] = logins.free(row.name[:90], taken)
        taken.add(names[row.address])
    ticked, behind = set(request.form.getlist("check")), set(request.form.getlist("behind"))
    groups = tuple(
        dict.fromkeys(word.strip()[:100] for word in request.form.get("groups", "").split(",") if word.strip())
    )
    division = request.form.get("division", "").strip()[:100] or None
    made = []
    for row in rows:
        looks = [offer.look for offer in row.offers if f"{row.address} {offer.key}" in ticked]
        parent = by_address.get(row.behind) or names.get(row.behind, "")
        parents = (parent,) if parent and row.address in behind and parent != names[row.address] else ()
        made.append(
            Machine(
                name=names[row.address],
                address=row.address,
                groups=groups,
                division=division,
                parents=parents,
                checks=tuple(looks) or None,
            )
        )
    return made


def _credentials(kinds: tuple[str, ...]) -> list[Credential]:
    return list(store.session().scalars(select(Credential).where(Credential.kind.in_(kinds)).order_by(Credential.name)))


def _named(field: str) -> str:
    """The credential chosen for suggested checks, by name; "" for none, or for one that is not there."""
    name = request.values.get(field, "")[:200]
    return store.session().scalar(select(Credential.name).where(Credential.name == name)) or ""


def _recent() -> list[Discovery]:
    return list(store.session().scalars(select(Discovery).order_by(Discovery.asked_at.desc()).limit(5)))


def _own(discovery_id: str) -> Discovery:
    found = store.session().get(Discovery, discovery_id)
    if found is None:
        abort(404)
    return found
