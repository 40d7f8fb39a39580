"""What pages promise: strict policy, reachable for everybody, both languages, and no trust in what machines say."""

from __future__ import annotations

import gzip
import io
import re
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import BrowserContext, Page
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain.inventory import HostGroup, Person
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from webui import assets, headers, language

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "/", "/machines", "/machines?status=down", "/machines/1", "/machines/1/edit", "/machines/new", "/machines/1/checks/new?kind=ssh",
    "/machines/1/delete", "/credentials", "/credentials/new", "/me", "/setup/machines", "/discover", "/additions", "/import", "/nothing-here",
    "/incidents", "/incidents/1", "/incidents/2", "/maintenance", "/maintenance/new", "/machines/1/way",
    "/me/second-factor", "/me/second-factor/app", "/prove", "/people", "/people/new", "/divisions", "/settings/login", "/settings/provider",
)  # fmt: skip
WATCH = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) => window.violations.push(e.violatedDirective + ' ' + e.blockedURI));
window.alert = () => { window.fired = true; };
"""
POLYGLOT = "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//--></tEXtarEa/></sCript/--!>\\x3csVg/<sVg/oNloAd=alert()//>"


def enter(context: BrowserContext) -> Page:
    """Rina's browser, logged in, that notes every breach of the policy."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto("/login")
    page.fill("#login", "rina")
    page.fill("#password", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/")
    return page


def evaluate(page: Page, expression: str) -> object:
    """A value from the page without `eval`, which the policy forbids."""
    cdp = page.context.new_cdp_session(page)
    return cdp.send("Runtime.evaluate", {"expression": expression, "returnByValue": True})["result"].get("value")


@pytest.mark.browser
@pytest.mark.parametrize(
    "width, height, scheme, locale",
    [
        (1366, 768, "light", "en-GB"),
        (390, 844, "dark", "id-ID"),
        (1366, 768, "dark", "id-ID"),
        (320, 640, "light", "id-ID"),
    ],
)
@pytest.mark.timeout(400)
def test_every_page_keeps_the_policy_is_accessible_and_does_not_scroll_sideways(
    busy: Town, person: Person, browse: OpenBrowser, width: int, height: int, scheme: str, locale: str
) -> None:
    context = browse(width, height, scheme, locale)
    page = enter(context)
    faults = []
    for path in PAGES:
        page.goto(path)
        page.wait_for_timeout(150)
        if evaluate(page, "JSON.stringify(window.violations)") != "[]":
            faults.append(f"{path}: policy {evaluate(page, 'JSON.stringify(window.violations)')}")
        wide = evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide:
            faults.append(f"{path}: {wide} px too wide")
        faults += [f"{path}: {rule['id']} {[n['html'][:120] for n in rule['nodes']][:3]}" for rule in accessible(page)]
        page.locator("details.menu > summary").click()
        faults += [f"{path} menu: {rule['id']}" for rule in accessible(page)]
    assert not faults


def accessible(page: Page) -> list[dict[str, object]]:
    """What axe finds wrong; its script is put in past the policy of the page, by the debugger."""
    cdp = page.context.new_cdp_session(page)
    script = (Path(sys.modules[Axe.__module__].__file__ or "").parent / "axe.min.js").read_text()
    cdp.send("Runtime.evaluate", {"expression": script + ";0"})
    ran = cdp.send(
        "Runtime.evaluate",
        {
            "expression": "axe.run(document).then((r) => [r.passes.length, JSON.parse(JSON.stringify(r.violations))])",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    passed, found = ran["result"]["value"]
    assert passed > 15, "axe looked at next to nothing"
    return list(found)


@pytest.mark.browser
def test_names_that_are_attacks_are_shown_as_text(town: Town, person: Person, browse: OpenBrowser) -> None:
    group = HostGroup(name=POLYGLOT + "group")
    town.session.add(group)
    town.machine(POLYGLOT, POLYGLOT, "down", reason=POLYGLOT + "<script>alert()</script>", groups=(group,))
    person.name = POLYGLOT
    town.session.commit()
    page = enter(browse())
    for path in ("/", "/machines", "/machines/1", "/me"):
        page.goto(path)
        page.wait_for_timeout(200)
        assert evaluate(page, "window.fired === undefined && window.violations.length === 0") is True, path
        assert evaluate(page, "document.body.innerText.includes('oNloAd=alert()')") is True, path


def test_planted_markup_never_reaches_a_page_raw(town: Town, rina: Visitor) -> None:
    town.machine("<script>alert()</script>", "<img src=x onerror=alert()>", "down", reason="<b onclick=alert()>")
    for path in (
        "/",
        "/machines",
        "/machines/rows",
        "/machines/1",
        "/machines?q=<script>alert()</script>&status=%22><script>",
    ):
        text = rina.get(path).text
        assert not re.search(r"<script>|<img|<b onclick", text), path


def test_every_answer_carries_the_headers_even_a_refusal(rina: Visitor, stranger: Visitor) -> None:
    for answer in (
        rina.get("/"),
        rina.get("/none"),
        rina.client.post("/logout"),
        stranger.get("/"),
        rina.get("/beat"),
        rina.get("/healthz"),
    ):
        assert answer.headers["Content-Security-Policy"] == headers.POLICY
        assert "unsafe" not in headers.POLICY
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


def test_no_template_has_inline_script_style_or_an_outside_address() -> None:
    for path in (ROOT / "webui" / "templates").rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)|https?://|\|safe", text), path.name


def test_a_failure_of_ours_is_a_page_with_a_reference_and_no_traceback(
    app: Flask, rina: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> str:
        raise ZeroDivisionError("the inner workings")

    broken.__rule__ = "signed in"  # type: ignore[attr-defined]
    monkeypatch.setitem(app.view_functions, "status.home", broken)
    answer = rina.get("/")
    assert answer.status_code == 500
    assert "inner workings" not in answer.text
    assert "Traceback" not in answer.text
    reference = re.search(r"Reference ([0-9a-f]{8})", answer.text)
    assert reference
    assert reference[1] in caplog.text


def test_while_the_database_is_away_a_page_says_since_when_and_comes_back(web_engine: Engine, rina: Visitor) -> None:
    def away(*_: object) -> None:
        raise OperationalError("select", {}, Exception("server closed the connection"))

    event.listen(web_engine, "before_cursor_execute", away)
    first, second = rina.get("/"), rina.get("/machines")
    event.remove(web_engine, "before_cursor_execute", away)
    assert first.status_code == second.status_code == 503
    assert "The database is away" in first.text
    assert "Polling goes on" in first.text
    assert first.headers["Retry-After"] == "5"
    assert rina.get("/").status_code == 200


def test_too_large_a_form_is_refused_with_a_sentence(rina: Visitor) -> None:
    answer = rina.client.post("/setup/machines", data={"addresses": "x" * 1_200_000})
    assert answer.status_code == 413
    assert "smaller parts" in answer.text


def test_every_sentence_is_translated_with_the_same_fields() -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import messages

    gathered = {m.id for m in messages.gather() if m.id}
    from babel.messages.pofile import read_po

    for path in language.PO.glob("*/LC_MESSAGES/messages.po"):
        known = read_po(io.BytesIO(path.read_bytes()), locale=path.parts[-3])
        stored = {m.id: m.string for m in known if m.id}
        assert {i for i in gathered if not messages.whole(stored.get(i, ""))} == set(), path.parts[-3]
        for source, target in stored.items():
            one = source[-1] if isinstance(source, tuple) else source
            for form in target if isinstance(target, tuple) else (target,):
                assert set(re.findall(r"%\(\w+\)s", one)) == set(re.findall(r"%\(\w+\)s", form)), source


def test_the_page_speaks_the_browsers_language_until_the_person_chooses(app: Flask, rina: Visitor, busy: Town) -> None:
    indonesian = {"Accept-Language": "id-ID,id;q=0.9,en;q=0.5"}
    assert "1 mesin mati" in rina.get("/", headers=indonesian).text
    assert 'lang="id"' in rina.get("/", headers=indonesian).text
    assert "1 machine is down" in rina.get("/").text
    rina.post("/appearance", {"language": "id", "theme": "dark"}, page="/")
    chosen = rina.get("/", headers={"Accept-Language": "en"}).text
    assert "1 mesin mati" in chosen
    assert 'data-theme="dark"' in chosen
    elsewhere = Visitor(app.test_client())
    elsewhere.login("rina")
    assert "1 mesin mati" in elsewhere.get("/").text


def test_numbers_and_times_follow_the_language(app: Flask) -> None:
    from datetime import UTC, datetime, timedelta

    from domain.clock import now
    from webui import wording

    for code, expected in (
        ("en", ("1,234.5", "21 Nov 2026 09:12 WIB", "2 hr, 5 min", "99.9", "7 min. ago")),
        ("id", ("1.234,5", "21 Nov 2026 09.12 WIB", "2 j, 5 mnt", "99,9", "7 mnt lalu")),
    ):
        with app.test_request_context(headers={"Accept-Language": code}):
            told = (
                wording.number(1234.5),
                wording.moment(datetime(2026, 11, 21, 2, 12, tzinfo=UTC)),
                wording.span(7500),
                wording.share(0.99999, 1).split("\u00a0")[0],
                wording.ago(now() - timedelta(minutes=7)),
            )
            assert told == expected


def test_the_home_page_says_what_is_wrong_worst_first_and_since_when(busy: Town, rina: Visitor) -> None:
    text = rina.get("/").text
    order = [text.index(f">{name}</a>") for name in ("db-02", "erp", "fs-01", "hr-pc")]
    assert order == sorted(order)
    assert "1 machine behind it is unreachable" in text
    assert ">web-01</a>" not in text
    assert "No answer to 5 pings" in text
    assert "7 min" in text
    assert ">pc-00</a>" not in text


def test_when_all_is_well_the_home_page_is_one_calm_sentence(town: Town, rina: Visitor) -> None:
    for number in range(3):
        town.machine(f"pc-{number}", f"10.0.0.{number}", minutes=4000)
    text = rina.get("/").text
    assert "All 3 machines are up." in text
    assert "Semua 3 mesin normal." in rina.get("/", headers={"Accept-Language": "id"}).text
    assert 'class="card flush problems' not in text


def test_of_one_machine_nobody_says_all(town: Town, rina: Visitor) -> None:
    town.machine("pc", "10.0.0.1", minutes=4000)
    assert "The one machine is up." in rina.get("/").text
    assert "Satu-satunya mesin normal." in rina.get("/", headers={"Accept-Language": "id"}).text


def test_a_silent_poller_is_said_on_top_and_nothing_looks_fresh(busy: Town, rina: Visitor) -> None:
    busy.beat(ago=3600)
    for path in ("/", "/machines", "/machines/1"):
        assert "Pantau stopped looking at" in rina.get(path).text
    assert " old" in re.search(r'<section class="stack[^"]*"', rina.get("/").text)[0]  # type: ignore[index]
    assert rina.get("/beat").get_json()["silent"] is True


def test_the_list_finds_by_name_address_group_and_state(busy: Town, rina: Visitor) -> None:
    def names(query: str) -> set[str]:
        return set(re.findall(r'class="name"[^>]*>([^<]+)<', rina.get(f"/machines?{query}").text))

    assert names("q=db-0") == {"db-02"}
    assert names("q=10.0.0.4") == {"hr-pc", "erp"}
    assert names("q=gudang+fs") == {"fs-01"}
    assert names("q=status:down") == {"db-02"}
    assert names("status=unreachable") == {"web-01"}
    assert names("q=status:nosuch") == set()
    assert "No machine fits this search." in rina.get("/machines?q=zzz").text


def test_the_list_asks_as_many_questions_for_many_machines_as_for_few(
    town: Town, rina: Visitor, web_engine: Engine
) -> None:
    asked: list[str] = []
    event.listen(web_engine, "before_cursor_execute", lambda c, cur, statement, *rest: asked.append(statement))
    town.machine("first", "10.0.0.1")
    counted = []
    for more in (0, 40):
        for number in range(more):
            town.machine(f"pc-{number}", f"10.0.1.{number}")
        asked.clear()
        assert rina.get("/machines").status_code == 200
        counted.append(len(asked))
    assert (
        counted[0] == counted[1] <= 15
    )  # who asks, whether a second factor is due, what could not be delivered, is not read, waits: one each


def test_a_thousand_machines_come_a_hundred_at_a_time_and_small(town: Town, rina: Visitor, session: Session) -> None:
    from domain.inventory import Host

    session.add_all(Host(name=f"pc-{n:04}", address=f"10.1.{n // 250}.{n % 250}") for n in range(1000))
    session.commit()
    seen: list[str] = []
    path: str | None = "/machines"
    while path:
        answer = rina.get(path, headers={"Accept-Encoding": "gzip"})
        assert len(answer.data) < 30_000
        text = gzip.decompress(answer.data).decode()
        seen += re.findall(r'class="name"[^>]*>([^<]+)<', text)
        more = re.search(r'data-more="([^"]+)"', text)
        path = more[1].replace("&amp;", "&") if more else None
    assert len(seen) == len(set(seen)) == 1000


@pytest.mark.browser
def test_filtering_as_one_types_reaches_rows_that_were_not_there(
    town: Town, person: Person, session: Session, browse: OpenBrowser
) -> None:
    from domain.inventory import Host

    session.add_all(Host(name=f"pc-{n:04}", address=f"10.1.{n // 250}.{n % 250}") for n in range(250))
    session.commit()
    page = enter(browse())
    page.goto("/machines")
    page.keyboard.press("/")
    page.keyboard.type("pc-0249")
    page.locator("#rows tbody a.name", has_text="pc-0249").wait_for()
    assert page.locator("#rows tbody tr:visible").count() == 1
    assert "q=pc-0249" in page.url
    page.fill("#filter", "zzzz")
    page.locator("#none").wait_for()


@pytest.mark.browser
def test_a_change_appears_without_reloading_and_a_dead_server_is_told(
    busy: Town, person: Person, browse: OpenBrowser
) -> None:
    from domain.records import Change, Track

    page = enter(browse())
    page.locator("#badge", has_text="Live").wait_for()
    track = busy.session.get(Track, "host:6")
    assert track is not None
    track.state = "down"
    busy.session.add(
        Change(subject="host:6", host_id=6, at=busy.now, since=busy.now, from_state="up", to_state="down", reason="")
    )
    busy.session.commit()
    page.locator(".answer", has_text="2 machines are down").wait_for()
    page.context.set_offline(True)
    page.locator("#badge", has_text="Disconnected").wait_for()


def test_static_files_are_addressed_by_content_and_kept_for_ever(app: Flask, stranger: Visitor) -> None:
    with app.test_request_context():
        address = app.jinja_env.globals["asset"]("pantau.css")  # type: ignore[operator]
    answer = stranger.get(address, headers={"Accept-Encoding": "gzip"})
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.data) <= 12 * 1024, "the budget of the stylesheet is 12 KB packed"
    assert (
        stranger.get(address, headers={"If-None-Match": answer.headers["ETag"], "Accept-Encoding": "gzip"}).status_code
        == 304
    )
    assert stranger.get(re.sub(r"/[0-9a-f]{12}/", "/000000000000/", address)).status_code == 404
    assert stranger.get("/static/000000000000/../__init__.py").status_code == 404


def test_the_charts_script_is_of_the_version_that_python_speaks() -> None:
    from plotly.offline import get_plotlyjs_version

    folders = [path.name for path in (assets.STATIC / "vendor").iterdir() if path.name.startswith("plotly")]
    assert folders == [f"plotly.js-cartesian-dist-min-{get_plotlyjs_version()}"]
    script = assets.STATIC / "vendor" / folders[0] / "plotly-cartesian.min.js"
    assert gzip.decompress(script.with_name(script.name + ".gz").read_bytes()) == script.read_bytes()


def test_every_icon_a_template_names_is_in_the_sprite() -> None:
    sprite = (assets.STATIC / "sprite.svg").read_text()
    known = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    for path in (ROOT / "webui" / "templates").rglob("*.html"):
        for name in re.findall(r'parts\.icon\("([^"]+)"', path.read_text()):
            assert name in known, f"{path.name} uses {name}"
