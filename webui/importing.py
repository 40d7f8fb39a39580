"""Bulk import: a pasted table, CSV or XLSX, its columns matched, tried out row by row, applied whole, undone whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as Plain

from domain.clock import now
from domain.inventory import Credential
from webui import access, audited, columns, documents, proof, registering, sheets, store
from webui.columns import COLUMNS, Known, Planned
from webui.documents import DocumentError
from webui.forms import Field
from webui.language import gettext
from webui.sheets import Rows, SheetError
from webui.written import Machine

blueprint = Blueprint("importing", __name__, url_prefix="/import")

SHOWN = 200
"""Rows on the page; those with something wrong come first."""
LINES = 500
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class Sheet:
    """A table that was sent: its rows without headings, what each column is, and how it was said."""

    rows: Rows
    heads: list[str]
    columns: list[str]
    headed: bool
    text: str


@blueprint.route("", methods=["GET", "POST"])
@access.admin
def start() -> Plain | str | tuple[str, int]:
    """Paste or send a table; see what would come of it; apply it."""
    if request.method == "GET":
        return _ask("", "")
    try:
        sheet = _sheet()
    except SheetError as error:
        return _ask(request.form.get("table", "")[: sheets.MOST_BYTES], str(error)), 422
    update, partly = request.form.get("update") == "yes", request.form.get("partly") == "yes"
    known = _known()
    planned = columns.plan(sheet.rows, sheet.columns, known, update=update, first=2 if sheet.headed else 1)
    machines = [row.machine for row in planned if row.machine is not None and row.what in ("new", "changed")]
    wrong = [row for row in planned if row.wrong]
    if request.form.get("do") == "apply" and machines and (partly or not wrong):
        if update or any(look.credential for machine in machines for look in machine.checks or ()):
            proof.demand()
        try:
            return redirect(url_for("additions.show", addition_id=registering.add("import", machines).id), 303)
        except DocumentError as error:
            store.session().rollback()
            return _page(sheet, planned, [], str(error), update, partly), 422
    try:
        lines = registering.preview(machines) if machines else []
        said = ""
    except DocumentError as error:
        store.session().rollback()
        lines, said = [], str(error)
    if request.form.get("do") == "apply" and wrong and not partly:
        said = gettext("Nothing was imported: mend the rows below, or leave them out.")
    page = _page(sheet, planned, lines, said, update, partly)
    return (page, 422) if said else page


@blueprint.get("/machines.<ending>")
@access.admin
def export(ending: str) -> Response:
    """The machines there are, as a table that can be imported again: `csv` or `xlsx`."""
    audited.note_now("export.machines", ending=ending)
    rows = [list(COLUMNS)] + [_row(machine) for machine in documents.export(store.session(), None).hosts or ()]
    name = f"pantau-machines-{now():%Y%m%d}.{'xlsx' if ending == 'xlsx' else 'csv'}"
    body, kind = (sheets.xlsx_of("machines", rows), XLSX) if ending == "xlsx" else (sheets.csv_of(rows), "text/csv")
    answer = Response(body, mimetype=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _ask(typed: str, wrong: str) -> str:
    field = Field(
        "table",
        gettext("The table"),
        "lines",
        value=typed,
        help=gettext(
            "Copied from a spreadsheet, or with commas or semicolons. The first row may say what the columns are."
        ),
    )
    return render_template(
        "importing/start.html",
        active="machines.index",
        field=field,
        wrong=wrong,
        titles=COLUMNS,
        recent=registering.recent(),
        most=sheets.MOST_ROWS,
    )


def _sheet() -> Sheet:
    """What was sent in this request: a file, a pasted text, or the text carried from the step before."""
    sent = request.files.get("file")
    if sent is not None and sent.filename:
        rows = sheets.read_file(sent.filename, sent.stream.read(sheets.MOST_BYTES + 1))
    else:
        rows = sheets.read_text(request.form.get("table", ""))
    guessed, headed = columns.guess(rows)
    if "headed" in request.form:
        headed = request.form["headed"] == "yes"
    chosen = [request.form.get(f"column-{n}", guessed[n]) for n in range(len(rows[0]))]
    chosen = [one if one in COLUMNS and one not in chosen[:n] else "" for n, one in enumerate(chosen)]
    heads = rows[0] if headed else [""] * len(rows[0])
    body = rows[1:] if headed else rows
    if not body:
        raise SheetError(gettext("There is no row below the headings."))
    if "address" not in chosen and "name" not in chosen:
        raise SheetError(gettext("No column holds addresses."))
    return Sheet(body, heads, chosen, headed, sheets.plain(rows))


def _known() -> Known:
    database = store.session()
    entries = {machine.name: machine for machine in documents.export(database, None).hosts or ()}
    plain = {name: machine.model_dump(by_alias=True) for name, machine in entries.items()}
    return Known(plain, frozenset(database.scalars(select(Credential.name))))


def _page(
    sheet: Sheet, planned: Sequence[Planned], lines: Sequence[str], said: str, update: bool, partly: bool
) -> str:  # fmt: skip
    counted = Counter(row.what for row in planned)
    ordered = sorted(planned, key=lambda row: (not row.wrong, row.number))
    return render_template(
        "importing/check.html",
        active="machines.index",
        sheet=sheet,
        rows=ordered[:SHOWN],
        more=len(ordered) - SHOWN,
        counted=counted,
        lines=lines[:LINES],
        said=said,
        titles=COLUMNS,
        update=update,
        partly=partly,
        ready=counted["new"] + counted["changed"],
    )


def _row(machine: Machine) -> list[str]:
    """One machine as `COLUMNS` has them; of its checks those that the column can say."""
    looks = machine.checks or ()
    said = []
    for look in looks:
        port = look.options.get("port")
        spoken = {"icmp": "ping"}.get(look.kind, "https" if look.options.get("tls") is True else look.kind)
        said.append(f"{spoken}:{port}" if port else spoken)
    return [
        machine.name,
        machine.address,
        ", ".join(machine.groups),
        machine.division or "",
        machine.site or "",
        ", ".join(machine.parents),
        ", ".join(said),
        next((look.credential for look in looks if look.credential), ""),
        f"{machine.interval:g}" if machine.interval else "",
        str(machine.attempts or ""),
        "yes" if machine.enabled else "no",
        " ".join(machine.note.split()),
        " ".join(machine.runbook.split()),
    ]
