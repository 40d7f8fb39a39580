"""Tables from strangers: pasted text, CSV and XLSX become rows of plain text, weighed before they are read.

Nothing in a cell is ever executed or evaluated: a formula is the text it is written as, or the value stored beside it.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from webui.addresses import ODD
from webui.language import gettext

MOST_BYTES = 1 << 20
MOST_ROWS, MOST_COLUMNS, LONGEST = 2000, 40, 500
MOST_PARTS, MOST_UNPACKED, MOST_RATIO = 200, 8 << 20, 200
"""Of an XLSX file: its parts, their size unpacked, and how much larger than packed they may be."""
DELIMITERS = "\t;,|"
FORBIDDEN = re.compile(rb"<!(DOCTYPE|ENTITY)|<\x00!\x00", re.IGNORECASE)
"""No spreadsheet has a document type; what has one wants its entities expanded. UTF-16 would hide it from us."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Rows = list[list[str]]


class SheetError(Exception):
    """The table cannot be read; the message is one sentence for the person who sent it."""


def read_text(text: str) -> Rows:
    """Rows of a pasted or sent text: separated by tabs, semicolons, commas or bars, whichever its first lines have most."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise SheetError(gettext("This is larger than %(most)s MiB; send it in parts.", most=MOST_BYTES >> 20))
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    first = [line for line in text[:20_000].split("\n") if line.strip()][:10]
    bare = re.sub(r'"[^"]*"', "", "\n".join(first))
    delimiter = max(DELIMITERS, key=bare.count) if any(one in bare for one in DELIMITERS) else "\t"
    try:
        return _tidy(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise SheetError(gettext("This is no table that can be read: %(reason)s.", reason=str(error))) from None


def read_file(name: str, content: bytes) -> Rows:
    """Rows of a file that was sent: XLSX by its first bytes, text otherwise."""
    if len(content) > MOST_BYTES:
        raise SheetError(gettext("This is larger than %(most)s MiB; send it in parts.", most=MOST_BYTES >> 20))
    if content[:4] == b"PK\x03\x04":
        return _workbook(content)
    if content[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise SheetError(
            gettext("This is an old or a locked Excel file. Save it as XLSX without a password, or as CSV.")
        )
    for encoding in ("utf-8", "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"):
        try:
            return read_text(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    raise SheetError(gettext("This file is neither CSV nor XLSX."))


def plain(rows: Iterable[Sequence[str]]) -> str:
    """The rows as one text that `read_text` reads back: what a form carries from one step to the next."""
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n").writerows(rows)
    return out.getvalue()


def harmless(text: str) -> str:
    """A cell no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_of(rows: Iterable[Sequence[str]]) -> bytes:
    """A CSV file that spreadsheets open rightly: UTF-8 with its mark, no cell a formula."""
    out = io.StringIO()
    csv.writer(out).writerows([harmless(cell) for cell in row] for row in rows)
    return ("\ufeff" + out.getvalue()).encode()


def xlsx_of(title: str, rows: Sequence[Sequence[str]]) -> bytes:
    """An XLSX file: every cell is typed as text, so none is a formula; the first row stays in sight."""
    from openpyxl import Workbook  # opened seldom, and large

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title, sheet.freeze_panes = title[:31], "A2"
    for number, row in enumerate(rows, 1):
        for place, text in enumerate(row, 1):
            cell: Any = sheet.cell(number, place)
            cell.value = _printable(text)
            cell.data_type = "s"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _workbook(content: bytes) -> Rows:
    """The first sheet's rows. Stored values of formulas are read as they are; one without is the formula's own text."""
    from openpyxl import load_workbook  # opened seldom, and large

    _weigh(content)
    try:
        values = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        formulas = load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
        return _tidy(
            [_said(value if value is not None else formula) for value, formula in zip(told, asked, strict=False)]
            for told, asked in zip(_cells(values), _cells(formulas), strict=False)
        )
    except SheetError:
        raise
    except Exception as error:  # noqa: BLE001 - the border of a foreign parser given a stranger's file: it may raise anything
        raise SheetError(gettext("This XLSX file is damaged: %(reason)s.", reason=type(error).__name__)) from None


def _cells(book: Any) -> Iterable[tuple[Any, ...]]:
    sheet = book.worksheets[0]
    sheet.reset_dimensions()  # what a file says of its own size is not believed
    found: Iterable[tuple[Any, ...]] = sheet.iter_rows(max_row=MOST_ROWS + 1, max_col=MOST_COLUMNS, values_only=True)
    return found


def _weigh(content: bytes) -> None:
    """Refuse what would unpack without end, and what is no plain spreadsheet."""
    wrong = gettext("This XLSX file unpacks to more than is reasonable for a list of machines.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
            whole = sum(part.file_size for part in parts)
            small = sum(part.compress_size for part in parts) or 1
            if len(parts) > MOST_PARTS or whole > MOST_UNPACKED or whole > max(small * MOST_RATIO, 1 << 20):
                raise SheetError(wrong)
            if any(part.flag_bits & 1 for part in parts):
                raise SheetError(
                    gettext("This is an old or a locked Excel file. Save it as XLSX without a password, or as CSV.")
                )
            for part in parts:
                with packed.open(part) as opened:
                    text = opened.read(MOST_UNPACKED + 1)
                if part.filename.endswith((".xml", ".rels", ".vml")) and FORBIDDEN.search(text):
                    raise SheetError(gettext("This XLSX file holds what no spreadsheet needs (a document type)."))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise SheetError(gettext("This XLSX file is damaged: %(reason)s.", reason=type(error).__name__)) from None
    except RuntimeError as error:  # zipfile's word for a password
        raise SheetError(gettext("This XLSX file is damaged: %(reason)s.", reason=type(error).__name__)) from None


def _tidy(rows: Iterable[Iterable[str]]) -> Rows:
    """Without empty rows and empty columns at the end, within bounds, every cell one line of what can be seen."""
    kept: Rows = []
    for row in rows:
        cells = [_cell(text) for text in row]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            continue
        if len(cells) > MOST_COLUMNS:
            raise SheetError(gettext("A row has more than %(most)s columns.", most=MOST_COLUMNS))
        kept.append(cells)
        if len(kept) > MOST_ROWS:
            raise SheetError(gettext("There are more than %(most)s rows; send them in parts.", most=MOST_ROWS))
    if not kept:
        raise SheetError(gettext("There is nothing in it."))
    width = max(len(cells) for cells in kept)
    return [cells + [""] * (width - len(cells)) for cells in kept]


def _cell(text: str) -> str:
    seen = ODD.sub("", " ".join(text.split())).strip()[:LONGEST]
    guarded = len(seen) > 1 and seen[0] == "'" and seen[1:].startswith(FORMULA)
    return seen[1:] if guarded else seen  # what `harmless` put before it


def _said(value: Any) -> str:
    """A cell's value as text: 5.0 is 5, true is yes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)[: LONGEST * 2]


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable() or c == "\n")[:32_000]
