"""Lists of machines from spreadsheets: understood in two languages, wrong rows told beside themselves, whole or not at all."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from typing import Any

import openpyxl
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from domain.inventory import Addition, Check, Credential, Division, Host, Person
from tests.webui.cast import PASSWORD, OpenBrowser, Town, Visitor
from tests.webui.test_pages import POLYGLOT, accessible, enter, evaluate
from webui import columns, sheets
from webui.sheets import SheetError

LIST = """name\taddress\tgroups\tdivision\tparents\tchecks\tlogin\tinterval\tnote
gw-01\t10.0.0.1\tNetwork\tIT\t\tping\t\t30\trouter
db-02\t10.0.0.12\tDatabases, Gudang\tGudang\tgw-01\tping ssh postgres\troot@all\t1m\t
web-01\tweb.example.com\t\t\tGW-01\tping, https, http:8080, tcp:3389\t\t\t
"""


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def send(rina: Visitor, table: str, **more: object) -> TestResponse:
    return rina.post("/import", {"table": table, **more})


def file(rina: Visitor, content: bytes, name: str = "machines.xlsx") -> TestResponse:
    return rina.post("/import", {"file": (io.BytesIO(content), name)})


@pytest.fixture
def login(session: Session) -> Credential:
    row = Credential(name="root@all", kind="password", username="root", sealed=b"x", seal_id="x")
    session.add(row)
    session.commit()
    return row


def test_a_pasted_table_is_tried_out_then_applied_whole_then_undone_whole(
    rina: Visitor, town: Town, session: Session, login: Credential
) -> None:
    seen = send(rina, LIST)
    assert seen.status_code == 200
    assert "3 new machines" in seen.text
    assert "+ host db-02" in seen.text
    assert "+ division Gudang" in seen.text
    assert session.scalars(select(Host)).all() == []
    made = send(rina, LIST, do="apply", headed="yes")
    assert made.status_code == 303
    session.expire_all()
    hosts = {host.name: host for host in session.scalars(select(Host))}
    database = hosts["db-02"]
    assert [group.name for group in database.groups] == ["Databases", "Gudang"]
    assert database.interval_s == 60
    assert [(check.kind, check.credential.name if check.credential else "") for check in database.checks] == [
        ("icmp", ""), ("ssh", "root@all"), ("postgres", "root@all"),
    ]  # fmt: skip
    assert [parent.name for parent in hosts["web-01"].parents] == ["gw-01"]
    web = {check.name: check.options for check in hosts["web-01"].checks}
    assert web["https"]["tls"] is True
    assert web["http 8080"]["port"] == 8080
    assert web["port 3389"] == {"port": 3389}
    assert rina.post(f"{made.location}/undo", {}, page=made.location).status_code == 303
    session.expire_all()
    assert session.scalars(select(Host)).all() == []
    assert session.scalars(select(Division)).all() == []


def test_headings_may_be_indonesian_and_columns_come_in_any_order(rina: Visitor, town: Town, session: Session) -> None:
    table = "Catatan;Alamat IP;Nama Mesin;Divisi;Aktif\nlantai 2;10.0.0.7;hr-pc;SDM;tidak\n"
    assert send(rina, table, do="apply").status_code == 303
    host = session.scalars(select(Host)).one()
    assert (host.name, host.address, host.note, host.enabled) == ("hr-pc", "10.0.0.7", "lantai 2", False)


@pytest.mark.parametrize(
    "table, names",
    [
        ("10.0.0.1\n10.0.0.2,db-02\n", ["10.0.0.1", "db-02"]),
        ("gw\t10.0.0.1\ndb\t10.0.0.2", ["db", "gw"]),
        ('"a, b";10.0.0.9', ["a, b"]),
        ("\ufeffname|ip\r\ngw|10.0.0.1\r\n", ["gw"]),
    ],
)
def test_tables_without_headings_and_with_any_separator_are_understood(
    rina: Visitor, town: Town, session: Session, table: str, names: list[str]
) -> None:
    assert send(rina, table, do="apply").status_code == 303
    assert sorted(session.scalars(select(Host.name))) == names


@pytest.mark.parametrize(
    "row, said",
    [
        ("x\t10.0.0.300\t\t", "neither an IP address nor a host name"),
        ("x\t\t\t", "It has no address."),
        ("x\t10.0.0.1\tgopher\t", "there is no check “gopher”"),
        ("x\t10.0.0.1\ttcp\t", "needs a port"),
        ("x\t10.0.0.1\thttp:99999\t", "names no port"),
        ("x\t10.0.0.1\tlocal\t", "there is no check “local”"),
        ("x\t10.0.0.1\t\tyesterday", "takes seconds"),
        ("x\t10.0.0.1\t\t-5", "takes seconds"),
        ("good\t10.0.0.1\t\t", "stands in row 2 already"),
        ("x\t10.9.9.9\t\t", "stands in row 2 already"),
    ],
)
def test_what_is_wrong_with_a_row_stands_beside_it_and_nothing_is_imported(
    rina: Visitor, town: Town, session: Session, row: str, said: str
) -> None:
    table = f"name\taddress\tchecks\tinterval\ngood\t10.9.9.9\t\t\n{row}\n"
    answer = send(rina, table)
    assert said in answer.text.replace("&#39;", "'")
    assert send(rina, table, do="apply").status_code == 422
    assert session.scalars(select(Host)).all() == []
    assert send(rina, table, do="apply", partly="yes").status_code == 303
    assert session.scalars(select(Host.name)).all() == ["good"]


def test_an_unknown_login_or_parent_is_told(rina: Visitor, town: Town) -> None:
    answer = send(rina, "name\taddress\tlogin\tbehind\nx\t10.0.0.1\tnobody\tnowhere\n").text
    assert "there is none of this name" in answer
    assert "There is no machine “nowhere” to stand behind" in answer


def test_what_is_watched_already_is_left_alone_unless_told_and_empty_cells_change_nothing(
    rina: Visitor, town: Town, session: Session
) -> None:
    host = town.machine("db-02", "10.0.0.12")
    host.note = "keep me"
    session.commit()
    table = "name\taddress\tnote\tgroups\tchecks\nDB-02\t10.0.0.12\t\tDatabases\tping\nother name\t10.0.0.12\t\t\t\n"
    left = send(rina, table.rsplit("other", 1)[0])
    assert "1 watched already" in left.text
    changed = send(rina, table.rsplit("other", 1)[0], update="yes")
    assert "groups (none) -&gt; Databases" in changed.text
    made = send(rina, table.rsplit("other", 1)[0], update="yes", do="apply")
    assert made.status_code == 303
    session.expire_all()
    assert (host.name, host.note, [group.name for group in host.groups]) == ("db-02", "keep me", ["Databases"])
    assert sorted(check.kind for check in host.checks) == ["icmp", "ssh"]
    kept = session.scalars(select(Check.id).where(Check.kind == "ssh")).one()
    rina.post(f"{made.location}/undo", {}, page=made.location)
    session.expire_all()
    assert host.groups == []
    assert [check.id for check in host.checks] == [kept]


def test_parents_in_a_circle_are_refused_as_a_whole(rina: Visitor, town: Town, session: Session) -> None:
    table = "name\taddress\tbehind\na\t10.0.0.1\tb\nb\t10.0.0.2\ta\n"
    answer = send(rina, table, do="apply")
    assert answer.status_code == 422
    assert "circle" in answer.text
    assert session.scalars(select(Host)).all() == []
    assert session.scalars(select(Addition)).all() == []


def test_a_workbook_is_read_with_its_numbers_truths_and_formulas_as_data(
    rina: Visitor, town: Town, session: Session
) -> None:
    rows = [
        ["Name", "IP", "Interval", "Enabled", "Note"],
        ["db-02", "10.0.0.12", 60.0, True, '=HYPERLINK("http://evil")'],
    ]
    answer = file(rina, workbook(rows))
    assert answer.status_code == 200
    table = re.search(r'<textarea name="table" hidden>\s*(.*?)</textarea>', answer.text, re.S)
    assert table
    assert send(rina, table[1].replace("&#34;", '"'), do="apply", headed="yes").status_code == 303
    host = session.scalars(select(Host)).one()
    assert (host.interval_s, host.enabled) == (60, True)
    assert host.note == '=HYPERLINK("http://evil")'


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", b"0" * (100 << 20))
    return out.getvalue()


def with_part(name: str, content: bytes) -> bytes:
    """A sound workbook of which one part was replaced."""
    out = io.BytesIO()
    made = io.BytesIO(workbook([["name", "ip"], ["a", "10.0.0.1"]]))
    with zipfile.ZipFile(made) as sound, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in sound.infolist():
            packed.writestr(part, content if part.filename == name else sound.read(part))
    return out.getvalue()


LAUGHS = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><sst>&b;</sst>'


@pytest.mark.parametrize(
    "content, said",
    [
        (bomb(), "unpacks to more"),
        (with_part("xl/workbook.xml", LAUGHS), "a document type"),
        (with_part("xl/worksheets/sheet1.xml", LAUGHS.decode().encode("utf-16")), "document type"),
        (with_part("xl/worksheets/sheet1.xml", b"<nonsense"), "is damaged"),
        (b"PK\x03\x04" + b"\0" * 500, "is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "Save it as XLSX"),
        (b"name,ip\n" + b"a,10.0.0.1\n" * 6000, "more than 2000 rows"),
        (b",".join([b"x"] * 60), "more than 40 columns"),
        (b" \n\n", "nothing in it"),
        (b"name,ip\n", "no row below the headings"),
    ],
)
def test_hostile_and_broken_files_are_refused_with_a_sentence(
    rina: Visitor, town: Town, content: bytes, said: str
) -> None:
    answer = file(rina, content)
    assert answer.status_code == 422
    assert said in answer.text


def test_a_workbook_that_lies_about_its_size_is_read_only_so_far() -> None:
    rows = '<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row>'
    sheet = f'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>10.0.0.1</t></is></c></row>{rows}</sheetData></worksheet>'
    assert sheets.read_file("x.xlsx", with_part("xl/worksheets/sheet1.xml", sheet.encode())) == [["10.0.0.1"]]


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(rina: Visitor, town: Town) -> None:
    large = {"data": b"x" * (2 << 20), "content_type": "multipart/form-data; boundary=x"}
    assert rina.client.post("/import", base_url=rina.base, **large).status_code == 413  # type: ignore[arg-type]
    with pytest.raises(SheetError):
        sheets.read_text("x" * (2 << 20))


def test_what_is_exported_is_no_formula_and_comes_back_as_it_was(
    rina: Visitor, town: Town, session: Session, login: Credential
) -> None:
    evil = "=cmd|' /C calc'!A0"
    send(rina, LIST, do="apply", headed="yes")
    session.add(Host(name=evil, address="10.0.0.99", note="@SUM(1)", checks=[Check(kind="icmp", name="ping")]))
    session.commit()
    text = rina.get("/import/machines.csv")
    assert text.headers["Content-Disposition"].startswith("attachment")
    cells = [cell for row in csv.reader(io.StringIO(text.text)) for cell in row]
    assert not [cell for cell in cells if cell.startswith(sheets.FORMULA)]
    assert f"'{evil}" in cells
    again = send(rina, text.get_data().decode("utf-8"), update="yes")
    assert "4 watched already" in again.text
    assert "0 new machines" in again.text
    book = openpyxl.load_workbook(io.BytesIO(rina.get("/import/machines.xlsx").get_data()))
    found = {cell.value: cell.data_type for row in book.active.iter_rows() for cell in row if cell.value}
    assert found[evil] == "s"
    assert "f" not in found.values()


def test_what_a_cell_holds_stays_words_on_the_page(rina: Visitor, town: Town) -> None:
    page = send(rina, f"name\taddress\tnote\n{POLYGLOT[:80]}\t{POLYGLOT}\t{POLYGLOT}\n").text
    assert "<sVg" not in page


def test_columns_may_be_chosen_by_hand(rina: Visitor, town: Town, session: Session) -> None:
    table = "foo\tbar\n10.0.0.1\tgw\n"
    more = {"headed": "yes", "column-0": "address", "column-1": "name"}
    assert send(rina, table, do="apply", **more).status_code == 303
    assert session.scalars(select(Host.name)).one() == "gw"


def test_every_heading_that_is_understood_means_one_thing() -> None:
    words = [word for spoken in columns.SPOKEN.values() for word in spoken.split()]
    assert len(words) == len(set(words))
    assert columns.SPOKEN.keys() == columns.COLUMNS.keys() == columns.READ.keys()


def test_import_is_for_administrators(app: Flask, person: Person, session: Session, town: Town) -> None:
    person.role = "none"
    session.commit()
    visitor = Visitor(app.test_client())
    assert visitor.login("rina", PASSWORD).status_code == 303
    for path in ("/import", "/import/machines.csv"):
        assert visitor.get(path).status_code == 403


@pytest.mark.browser
@pytest.mark.parametrize("width, height, locale, scheme", [(1366, 768, "en-GB", "light"), (390, 844, "id-ID", "dark")])
def test_a_file_is_sent_mended_and_imported_in_a_browser(
    person: Person, town: Town, browse: OpenBrowser, session: Session, width: int, height: int, locale: str, scheme: str
) -> None:
    page = enter(browse(width, height, scheme, locale))
    page.goto("/import")
    content = workbook([["Nama", "Alamat", "Catatan"], ["gw", "10.0.0.1", "x"], ["db", "10.0.0.999", "y"]])
    page.set_input_files("#file", {"name": "m.xlsx", "mimeType": "application/octet-stream", "buffer": content})
    page.locator("main button.primary").first.click()
    page.wait_for_selector("#partly")
    assert not accessible(page)
    assert evaluate(page, "document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.check("#partly")
    page.locator('button[value="apply"]').click()
    page.wait_for_url("**/additions/*")
    assert not accessible(page)
    assert session.scalars(select(Host.name)).all() == ["gw"]
    assert evaluate(page, "JSON.stringify(window.violations)") == "[]"
