"""The record of who did what: every page writes it, administrators read it, nobody else."""

from __future__ import annotations

import ast
import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.orm import Session

from config.settings import Settings
from domain import audit
from domain.audit import Audit
from domain.inventory import Check, Division, Host, HostKey, Membership, Person, Threshold
from tests.webui.cast import Town, Visitor
from tests.webui.witness import EXEMPT, witnessed
from webui import access, create_app, deeds, details, store

ROOT = Path(__file__).parents[2]


def rows(session: Session, what: str = "%") -> list[Audit]:
    session.rollback()
    return list(session.scalars(select(Audit).where(Audit.what.like(what)).order_by(Audit.id)))


def test_the_page_says_in_a_sentence_what_was_done_by_whom_to_what(
    rina: Visitor, town: Town, person: Person, session: Session
) -> None:
    host = town.machine("db-01", "192.0.2.1")
    rina.post(f"/machines/{host.id}/edit", {"name": "db-01", "address": "192.0.2.77", "sensitivity": "usual"})
    page = rina.get("/audit").text
    assert f'<b>Rina</b> changed the machine <a href="/machines/{host.id}">db-01</a>' in page
    assert "<dt>Address</dt><dd>192.0.2.1 → 192.0.2.77</dd>" in page
    last = rows(session, "host.changed")[-1]
    assert (last.person, last.person_id, last.source) == ("Rina", person.id, "127.0.0.1")


def test_it_is_read_by_person_kind_object_and_time_a_page_at_a_time(
    rina: Visitor, town: Town, session: Session, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        for n in range(230):
            audit.write(
                connection, "look.asked" if n % 2 else "login.done", person_id=5, person="Ani", on=f"host:{n % 3}"
            )
    numbers = [int(n) for n in re.findall(r"#(\d+)</p>", rina.get("/audit?person=5").text)]
    assert len(numbers) == 100
    seen, path = list(numbers), "/audit?person=5"
    while (older := re.search(r'href="(/audit\?before=[^"]+)"', rina.get(path).text)) is not None:
        path = older[1].replace("&amp;", "&")
        seen += [int(n) for n in re.findall(r"#(\d+)</p>", rina.get(path).text)]
    assert len(seen) == len(set(seen)) == 230
    assert seen == sorted(seen, reverse=True)
    assert len(re.findall(r"#\d+</p>", rina.get("/audit?person=5&what=look").text)) == 100
    assert len(re.findall(r"#\d+</p>", rina.get("/audit?what=login.done&on=host:2").text)) == 38
    assert "Nothing was done" in rina.get("/audit?person=5&to=2020-01-01T00:00").text
    assert len(re.findall(r"#\d+</p>", rina.get("/audit?from=2020-01-01T00:00").text)) == 100
    assert rina.get("/audit?person=x&from=y&before=-1&what=%27&on=%7B").status_code == 200


def test_taken_out_as_a_table_nothing_in_it_is_a_formula_and_that_it_was_taken_is_on_record(
    rina: Visitor, session: Session, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        audit.write(connection, "=cmd|' /C calc'!A0", person="=HYPERLINK(1)", source="@x", on="-1", detail={"a": "b"})
    answer = rina.get("/audit/audit.csv")
    table = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert table[0][:3] == ["number", "at (UTC)", "person"]
    assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows(session)[-1].what == "audit.exported"


def test_what_others_wrote_reaches_the_page_as_text(rina: Visitor, database_url: str) -> None:
    hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    with psycopg.connect(database_url) as connection:
        audit.write(connection, hostile, person=hostile, source=hostile, on=hostile, detail={hostile: hostile})
        audit.write(
            connection, "host.changed", on="host:1", detail={"name": hostile, "changed": {hostile: [hostile, 1]}}
        )
        audit.write(connection, "host.changed", on="host:x", detail={"name": 5, "changed": "no", "hidden": {"a": 1}})
    page = rina.get("/audit").text
    assert "<script>alert" not in page
    assert "<img" not in page


def test_only_administrators_read_it(budi: Visitor, stranger: Visitor) -> None:
    for path in ("/audit", "/audit/audit.csv"):
        assert budi.get(path).status_code in (403, 404)
        assert stranger.get(path).status_code == 302


def test_a_host_key_trusted_is_on_record_with_its_fingerprint(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-01", "192.0.2.1")
    key = HostKey(host_id=host.id, port=22, key="ssh-ed25519 AAAA", fingerprint="SHA256:new", state="offered")
    session.add(key)
    session.commit()
    rina.post(f"/machines/{host.id}/keys/{key.id}/accept", {}, page=f"/machines/{host.id}/edit")
    assert rows(session, "hostkey.accepted")[0].detail["fingerprint"] == "SHA256:new"


def test_exports_are_on_record_before_the_first_byte(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-01", "192.0.2.1")
    for path in ("/import/machines.csv", f"/machines/{host.id}/samples.csv", f"/machines/{host.id}/availability.csv"):
        assert rina.get(path).status_code == 200
    assert [row.what for row in rows(session, "export.%")] == [
        "export.machines",
        "export.samples",
        "export.availability",
    ]


@pytest.mark.parametrize("path", ["/import/machines.csv", "/audit/audit.csv"])
def test_where_it_cannot_be_written_nothing_is_given_out(
    rina: Visitor, town: Town, session: Session, path: str
) -> None:
    session.execute(text("alter table audit add constraint full_up check (id < 1) not valid"))
    session.commit()
    answer = rina.get(path)
    assert answer.status_code == 500
    assert "db-01" not in answer.text


def test_where_it_cannot_be_written_an_edit_is_not_made(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("db-01", "192.0.2.1")
    session.execute(text("alter table audit add constraint full_up check (id < 1) not valid"))
    session.commit()
    answer = rina.post(f"/machines/{host.id}/edit", {"name": "other", "address": "192.0.2.77", "sensitivity": "usual"})
    assert answer.status_code >= 400
    session.rollback()
    assert session.scalars(select(Host.name).where(Host.id == host.id)).one() == "db-01"


def calls() -> list[tuple[ast.expr, set[str]]]:
    """What is written by its name, everywhere in the product: the kind as it stands in the source, and the words of its detail."""
    found = []
    for path in [
        ROOT / "pantau.py",
        *(p for room in ("webui", "notifier", "poller", "domain") for p in (ROOT / room).rglob("*.py")),
    ]:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute | ast.Name):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
            if name not in ("note", "note_now", "seldom", "write", "write_seldom"):
                continue
            words = call.args[1:2] if name in ("write", "write_seldom") else call.args[:1]
            own = {one.arg for one in call.keywords if one.arg} - {
                "by",
                "person_id",
                "person",
                "source",
                "on",
                "detail",
                "seconds",
            }
            found += [(one, own if name.startswith(("note", "seldom")) else set()) for one in words]
    return found


def noted() -> set[str]:
    """Every kind that some line of the product writes: in one word, put together (then as a pattern), or in SQL."""
    found = set()
    for word, _ in calls():
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            found.add(re.escape(word.value))
        if isinstance(word, ast.JoinedStr):
            found.add(
                "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else "[a-z_]+" for p in word.values)
            )
    for path in [
        p
        for room in ("poller", "notifier", "webui", "domain", "config", "migrations")
        for p in (ROOT / room).rglob("*.py")
    ]:
        for put in re.findall(r"insert into audit \(what.{0,300}", path.read_text(), re.DOTALL):
            found |= {re.escape(what) for what in re.findall(r"'([a-z]+\.[a-z_]+)'", put)}
    return {what for what in found if re.fullmatch(r"[a-z]+(\\?\.[a-z_\[\]+-]+)?", what)}


def test_whatever_is_noted_has_a_sentence() -> None:
    kinds = noted()
    assert len(kinds) > 30
    assert {r"person\.reset", r"audit\.pruned", r"credential\.first_use", r"vault\.rotated"} <= kinds
    assert [what for what in kinds if not any(re.fullmatch(what, known) for known in deeds.SENTENCES)] == []


def test_whatever_the_database_watches_has_words_for_the_thing_and_for_every_column(engine: Engine) -> None:
    assert set(audit.WATCHED.values()) <= set(deeds.THINGS)
    silent = {"id", "created_at", "changed_at", "made_at", "seal_id", "armed", "password_changed_at", "last_used_at"}
    silent |= {"seen_at", "tried_at", "told_at", "error"}
    hidden = ("hash", "secret", "token", "seed", "sealed", "password", "private")
    bare = [
        f"{kind}.{column['name']}"
        for table, kind in audit.WATCHED.items()
        for column in inspect(engine).get_columns(table)
        if column["name"] not in silent
        and not column["name"].endswith(hidden)
        and details.word(kind, column["name"]) == column["name"]
    ]
    assert bare == []


def test_whatever_an_event_says_of_itself_has_a_word(rina: Visitor) -> None:
    said = {name for _, names in calls() for name in names} - {"name", "id", "kind"}
    assert len(said) > 10
    assert sorted(said - set(details.COLUMNS)) == []


def test_a_limit_is_told_in_per_cent_with_the_machine_it_is_of_and_what_is_gone_by_its_last_name(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("db-01", "192.0.2.1")
    limit = Threshold(host_id=host.id, measure="system.cpu.utilization", state="warning", over=0.8)
    session.add(limit)
    session.commit()
    limit.over, limit.for_s = 0.85, 600
    session.commit()
    page = rina.get("/audit").text
    assert f'changed the limits of <a href="/machines/{host.id}">db-01</a>: Processor busy' in page
    assert "<dt>Warning above</dt><dd>80\u00a0% → 85\u00a0%</dd>" in page
    assert "<dt>Warning lasting</dt><dd>5 min → 10 min</dd>" in page
    session.delete(host)
    session.commit()
    page = rina.get(f"/audit?on=host:{host.id}").text
    assert "deleted the machine <b>db-01</b>" in page
    assert "the limits of <b>db-01</b>" in page
    assert f"host:{host.id}<" not in page


def test_ids_are_names_switches_are_on_or_off_and_moments_are_of_the_readers_clock(
    rina: Visitor, town: Town, person: Person, session: Session
) -> None:
    host, shed = town.machine("db-01", "192.0.2.1"), Division(name="Gudang")
    session.add(shed)
    person.zone = "Asia/Jayapura"
    session.commit()
    host.division, host.enabled, host.interval_s = shed, False, 30
    host.learn_from = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    session.commit()
    page = rina.get(f"/audit?on=host:{host.id}&what=host.changed").text
    assert "<dt>Division</dt><dd>– → Gudang</dd>" in page
    assert "<dt>Switched on</dt><dd>on → off</dd>" in page
    assert "<dt>Looked at every</dt><dd>as everywhere → 30 sec</dd>" in page
    assert "<dd>– → 21 Nov 2026 12:00 WIT</dd>" in page
    assert re.search(r">\d+ \w+ \d{4} \d\d:\d\d WIT</time>", page)
    assert f'<a href="/divisions/{shed.id}">Gudang</a>' in rina.get("/audit?what=division").text


def test_options_of_a_check_are_told_by_the_labels_of_its_form(rina: Visitor, town: Town, session: Session) -> None:
    host = town.machine("web-01", "192.0.2.2")
    check = Check(host_id=host.id, kind="http", name="Shop", options={"path": "/", "tls": False})
    session.add(check)
    session.commit()
    check.options = {"path": "/health", "tls": True}
    session.commit()
    page = rina.get(f"/audit?on=host:{host.id}&what=check.changed").text
    assert "changed the check Shop of " in page
    assert "<dt>Path</dt><dd>/ → /health</dd>" in page
    assert "<dt>HTTPS</dt><dd>off → on</dd>" in page


def test_who_is_what_in_a_division_is_told_with_the_names_of_both(rina: Visitor, session: Session) -> None:
    budi = Person(login="budi", name="Budi", password_hash="x")
    budi.memberships = [Membership(division=Division(name="Gudang"), role="pic")]
    session.add(budi)
    session.commit()
    assert f'put <a href="/people/{budi.id}">Budi</a> into the division Gudang as: In charge' in rina.get("/audit").text


def test_one_asks_for_what_something_is_called(rina: Visitor, town: Town) -> None:
    town.machine("db-01", "192.0.2.1")
    town.machine("db-02", "192.0.2.2")
    page = rina.get("/audit?on=DB-01").text
    assert "db-01" in page
    assert "db-02" not in page.split("</form>")[-1]


def test_every_kind_is_a_sentence_in_both_languages(app: Flask) -> None:
    from flask_babel import force_locale

    kinds = [f"{kind}.{verb}" for kind in audit.WATCHED.values() for verb in ("made", "changed", "gone")]
    with app.test_request_context():
        for what in [*kinds, *deeds.SENTENCES]:
            said = {}
            for language in ("en", "id"):
                with force_locale(language):
                    said[language] = deeds.sentence(Audit(what=what, detail={}, on=""))
            assert what not in said["en"]
            assert said["en"] != said["id"]


def test_the_witness_sees_a_form_that_leaves_no_row(engine: Engine, place: Path, person: Person) -> None:
    def quiet() -> str:
        store.session().execute(text("insert into login_attempt (account, source) values ('x', 'y')"))
        store.session().commit()
        return "done"

    bare = create_app(Settings(data=place), engine)
    bare.view_functions["deliveries.again"] = access.signed_in(quiet)
    rina = Visitor(bare.test_client())
    rina.login("rina")
    with witnessed(engine) as silent:
        rina.post("/deliveries/again", {}, page="/deliveries")
    assert silent == {"deliveries.again"}


def test_what_may_be_done_without_a_row_is_a_route_and_has_a_reason(app: Flask) -> None:
    assert set(EXEMPT) <= set(app.view_functions)
    assert all(EXEMPT.values())
