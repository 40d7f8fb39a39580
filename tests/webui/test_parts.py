"""Machines of a thousand measures stay readable: grouped, as tables worst first, in as many queries as for ten."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from domain.inventory import Person
from tests.webui import estate
from tests.webui.cast import OpenBrowser, Town, Visitor
from tests.webui.test_pages import accessible, enter, evaluate
from webui import figures, units
from webui.families import natural
from webui.series import Key


class Counted:
    """Counts the statements sent to the database."""

    def __init__(self, engine: Engine) -> None:
        self.number = 0
        event.listen(engine, "before_cursor_execute", self._seen)

    def _seen(self, *_: object) -> None:
        self.number += 1


def test_a_thousand_series_take_as_many_queries_as_fifty(rina: Visitor, town: Town, engine: Engine) -> None:
    small, large = estate.switch(town, 5), estate.machine(town, "sw-2", "10.0.0.3", "snmp", estate.ports(100))
    asked = Counted(engine)
    spent = []
    for host in (small, large):
        for path in ("", "/parts/network", "?range=7d"):
            rina.get(f"/machines/{host.id}{path}")
            asked.number = 0
            assert rina.get(f"/machines/{host.id}{path}").status_code == 200
            spent.append(asked.number)
    assert spent[:3] == spent[3:]
    assert max(spent) <= 34


def test_the_page_of_a_switch_shows_its_worst_ports_first_and_no_more_than_a_screen_of_them(
    rina: Visitor, town: Town
) -> None:
    page = rina.get(f"/machines/{estate.switch(town).id}").text
    ports = re.findall(r'data-open="[^"]+"[^>]*>([^<]+)</a>', page)
    assert ports[0] == "Gi1/0/97"
    assert len(ports) == 10
    assert len(page) < 150_000
    table = page[page.index("parts-rows") :]
    assert table.index("Network line busy") < table.index("Network received")


def test_the_table_is_sorted_by_any_column_and_filtered_by_the_words_typed(rina: Visitor, town: Town) -> None:
    host = estate.switch(town)

    def ports(query: str) -> list[str]:
        page = rina.get(f"/machines/{host.id}/parts/network?{query}").text
        return re.findall(r'data-open="[^"]+"[^>]*>([^<]+)</a>', page)

    assert len(ports("")) == 100
    assert ports("sort=part&dir=up")[:12] == [f"Gi1/0/{n}" for n in range(1, 13)]
    assert ports("sort=system.network.io.receive")[0] != ports("sort=system.network.io.receive&dir=up")[0]
    assert ports("q=gi1/0/9") == [p for p in ports("") if p.startswith("Gi1/0/9")]
    assert ports("q=nothing+like+it") == []
    assert rina.get(f"/machines/{host.id}/parts/nonsense").status_code == 404
    assert rina.get(f"/machines/{host.id}/parts/network/one?of=Gi9/9/9").status_code == 404


def test_an_opened_row_is_drawn_from_the_averages_and_leads_to_its_charts(rina: Visitor, town: Town) -> None:
    host = estate.switch(town)
    opened = rina.get(f"/machines/{host.id}/parts/network/curves?of=Gi1/0/97").text
    assert opened.count('class="spark"') == 10
    page = rina.get(f"/machines/{host.id}/parts/network/one?of=Gi1/0/97&range=24h").text
    assert page.count("<figure") >= 7
    path = re.search(r'data-fig="([^"]+)"', page)
    assert path
    drawn = rina.get(path[1].replace("&amp;", "&")).get_json()
    assert len(drawn["data"]) >= 1
    assert all("Gi1/0/9" not in trace["name"] or "Gi1/0/97" in trace["name"] for trace in drawn["data"])


def test_a_ups_and_a_printer_show_what_matters_of_them_in_units_people_know(rina: Visitor, town: Town) -> None:
    ups = rina.get(f"/machines/{estate.ups(town).id}").text
    for said in ("87\u00a0%", "27.4\u00a0°C", "37 min", "54.2\u00a0V"):
        assert said in ups
    printer = rina.get(f"/machines/{estate.printer(town).id}").text
    assert "48,213\u00a0pages" in printer
    supplies = re.findall(r'data-open="[^"]+"[^>]*>([^<]+)</a>', printer)
    assert supplies[0] == "Black toner"


def test_a_service_that_does_not_run_stands_above_those_that_do(rina: Visitor, town: Town) -> None:
    page = rina.get(f"/machines/{estate.windows(town).id}").text
    services = re.findall(r'data-open="[^"]+"[^>]*>([^<]+)</a>', page)
    assert services[0] == "Service 17"
    assert len(services) == 10


@pytest.mark.parametrize(
    "amount, unit, name, said",
    [
        (0.417, "1", "system.cpu.utilization", "41.7\u00a0%"),
        (2.5, "1", "system.cpu.load_average.1m", "2.5"),
        (1.25e8, "By/s", "system.network.io.receive", "1\u00a0Gbit/s"),
        (1.25e6, "By/s", "system.disk.io.read", "1.2\u00a0MiB/s"),
        (32 * 2**30, "By", "system.memory.limit", "32\u00a0GiB"),
        (21.5, "Cel", "hw.temperature", "21.5\u00a0°C"),
        (86400 * 3, "s", "system.uptime", "3 days"),
        (0.0004, "s", "icmp.rtt.median", "0.4\u00a0ms"),
        (1920, "W", "ups.output.power", "1.92\u00a0kW"),
        (0.35, "A", "ups.output.current", "350\u00a0mA"),
        (49.98, "Hz", "ups.input.frequency", "50\u00a0Hz"),
        (2.4e9, "Hz", "system.cpu.frequency", "2.4\u00a0GHz"),
        (12345, "{page}", "printer.pages", "12,345\u00a0pages"),
        (310.7, "{query}/s", "postgresql.queries", "310.7\u00a0queries/s"),
        (3, "{widget}", "json.value", "3\u00a0widget"),
        (12, "%", "snmp.value", "12\u00a0%"),
        (0, "1", "windows.service.running", "no"),
        (None, "V", "ups.input.voltage", "–"),
    ],
)
def test_units_are_told_as_people_know_them(app: Flask, amount: float, unit: str, name: str, said: str) -> None:
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert units.say(amount, unit, name) == said


def test_values_a_user_named_are_charted_by_their_unit() -> None:
    keys = [Key(1, "snmp.value", f"oid {n}", unit) for n, unit in enumerate(["Cel", "V", "Cel", "1"])]
    charts = figures.charts(keys)
    assert [one.unit for one in charts] == ["1", "Cel", "V"]
    assert len(figures.choose(charts[1], keys, {})) == 2
    assert figures.choose(figures.chart(charts[1].key), keys, {}) == figures.choose(charts[1], keys, {})


def test_a_chart_of_many_parts_draws_the_worst_of_now_whole_parts_only() -> None:
    names = ("system.network.io.receive", "system.network.io.transmit")
    keys = [Key(1, name, f"Gi{n}", "By/s") for n in range(50) for name in names]
    chosen = figures.choose(figures.chart("network"), keys, {key: float(key.part[2:]) for key in keys})
    assert sorted({key.part for key in chosen}) == ["Gi46", "Gi47", "Gi48", "Gi49"]
    assert len(chosen) == figures.MOST


def test_numbers_within_names_are_counted_not_spelled() -> None:
    assert sorted(["Gi1/0/10", "Gi1/0/2", "vlan3", "Gi1/0/1"], key=natural) == [
        "Gi1/0/1",
        "Gi1/0/2",
        "Gi1/0/10",
        "vlan3",
    ]
    assert sorted(["", "²3", "٣", "a1"], key=natural)[0] == ""


@pytest.mark.browser
@pytest.mark.parametrize("width, height, locale", [(1366, 768, "en-GB"), (390, 844, "id-ID")])
def test_the_ports_are_filtered_sorted_and_opened_in_place(
    person: Person, town: Town, browse: OpenBrowser, session: Session, width: int, height: int, locale: str
) -> None:
    host = estate.switch(town)
    page = enter(browse(width, height, locale=locale))
    page.goto(f"/machines/{host.id}")
    box = page.locator("#parts-network")
    box.locator('input[name="q"]').fill("1/0/9")
    page.wait_for_function("() => document.querySelectorAll('#parts-network tbody tr').length === 11")
    assert page.url.endswith(f"/machines/{host.id}")
    box.locator("a[data-open]").first.click()
    page.wait_for_selector("#parts-network tr.opened .spark")
    assert box.locator("a[data-open]").first.get_attribute("aria-expanded") == "true"
    assert not accessible(page)
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
    box.locator("a[data-open]").first.click()
    assert box.locator("tr.opened").count() == 0


def test_states_of_many_parts_are_a_table_and_no_bundle_of_lines(rina: Visitor, town: Town) -> None:
    path = f"/machines/{estate.windows(town).id}"
    charts = re.compile(r'data-fig="[^"]*/([^"/?]+)\?')
    assert "system.service.up" not in charts.findall(rina.get(path).text)
    assert "system.service.up" in charts.findall(rina.get(f"{path}?all=1").text)


def test_of_what_should_be_high_the_lowest_is_told(rina: Visitor, town: Town) -> None:
    page = rina.get(f"/machines/{estate.printer(town).id}").text
    assert "Black toner: now 6\u00a0%" in page
