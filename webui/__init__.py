"""Who looks: the pages. `create_app` puts the parts together and does nothing else."""

from __future__ import annotations

from typing import Any

from flask import Flask, g
from sqlalchemy import Engine

from config import database
from config.settings import Settings, networks_of
from webui import (
    abilities,
    access,
    actionrules,
    api,
    approvals,
    asking,
    assets,
    audited,
    auditing,
    blamed,
    causes,
    channels,
    chat,
    checks,
    cookies,
    credentials,
    csrf,
    deliveries,
    discover,
    divisions,
    drawing,
    edit,
    entry,
    faults,
    forwarded,
    headers,
    heard,
    hostkeys,
    importing,
    incidents,
    jobs,
    joints,
    language,
    loadtest,
    lookouts,
    looks,
    machine,
    machines,
    maintenance,
    mandating,
    menu,
    metrics,
    outages,
    parts,
    passkeys,
    people,
    policies,
    portrait,
    profile,
    proof,
    provider,
    push,
    ready,
    registering,
    remedies,
    rotas,
    routes,
    runbooks,
    samples,
    second,
    sessions,
    setup,
    sites,
    staff,
    status,
    store,
    stream,
    thresholds,
    tickets,
    tokens,
    topology,
    trials,
    uploads,
    windows_api,
    wording,
    wordings,
)

BODY = 1024 * 1024
BLUEPRINTS = (
    status.blueprint,
    machines.blueprint,
    stream.blueprint,
    incidents.blueprint,
    chat.blueprint,
    joints.blueprint,
    maintenance.blueprint,
    outages.blueprint,
    topology.blueprint,
    windows_api.blueprint,
    machine.blueprint,
    machine.figure_blueprint,
    samples.blueprint,
    discover.blueprint,
    importing.blueprint,
    registering.blueprint,
    metrics.blueprint,
    parts.blueprint,
    people.blueprint,
    profile.blueprint,
    provider.blueprint,
    tickets.blueprint,
    portrait.blueprint,
    proof.blueprint,
    passkeys.blueprint,
    second.blueprint,
    entry.blueprint,
    sessions.blueprint,
    tokens.blueprint,
    setup.blueprint,
    edit.blueprint,
    checks.blueprint,
    hostkeys.blueprint,
    looks.blueprint,
    credentials.blueprint,
    auditing.blueprint,
    sites.blueprint,
    staff.blueprint,
    divisions.blueprint,
    channels.blueprint,
    trials.blueprint,
    routes.blueprint,
    push.blueprint,
    ready.blueprint,
    policies.blueprint,
    rotas.blueprint,
    deliveries.blueprint,
    lookouts.blueprint,
    wordings.blueprint,
    thresholds.blueprint,
    loadtest.blueprint,
    asking.blueprint,
    abilities.blueprint,
    actionrules.blueprint,
    runbooks.blueprint,
    approvals.blueprint,
    jobs.blueprint,
    mandating.blueprint,
    remedies.blueprint,
    heard.blueprint,
)


def create_app(settings: Settings, engine: Engine | None = None) -> Flask:
    """The WSGI application. `engine` is given by tests; otherwise it is opened from the settings, lazily."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=BODY, MAX_FORM_MEMORY_SIZE=BODY, PANTAU=settings)
    app.session_interface = cookies.Flashes()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    store.install(
        app, engine or database.engine(database.url(settings.database_url, settings.sockets, "web"), name="pantau web")
    )
    audited.install(app)
    for part in (faults, headers, uploads, csrf, wording, causes, drawing, assets, hostkeys, blamed):
        part.install(app)
    language.install(app, settings)
    own = engine.url.render_as_string(hide_password=False).replace("+psycopg", "") if engine else None
    stream.install(app, own or database.url(settings.database_url, settings.sockets, "web"), settings.streams)
    app.context_processor(_known)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_blueprint(api.blueprint())
    access.install(app)
    proof.install(app)
    second.install(app)
    forwarded.install(app, networks_of(settings.proxies))
    return app


def _known() -> dict[str, Any]:
    """What every template may use beside its own."""
    return {
        "person": g.get("person"),
        "more_pages": menu.groups,
        "dead_letters": menu.dead_letters,
        "awaited_answers": menu.awaited,
        "chat_unread": chat.total,
        "chat_waiting": chat.waiting,
    }
