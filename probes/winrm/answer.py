"""What a Windows machine says, read without believing it: pages of rows, method output, faults, its identity.

Elements are told by their local names: a list of properties comes back without namespaces, everything else with.
Nothing is read that is not UTF-8, has a document type, or answers another request than ours.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from probes.limits import clean

Value = str | tuple[str, ...] | None
"""Text, the texts of an array, or null."""

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_COUNT = re.compile(r"\d{1,20}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?|"  # XML Schema
    r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.(\d{6})([+-]\d{3})",  # DMTF (DSP0004, 5.2.4)
    re.ASCII,
)
LARGEST = 2**64 - 1
"""The largest number of WMI (uint64)."""


class NotAnAnswer(Exception):
    """What came is no answer to what was asked; the text says why, as the end of a sentence."""


class Row(dict[str, Value]):
    """One instance: its properties by name. The readers give None for what is missing, null or not of that kind."""

    def text(self, name: str, limit: int = 256) -> str:
        """A property as clean text; "" where there is none."""
        value = self.get(name)
        return clean(value, limit) if isinstance(value, str) else ""

    def whole(self, name: str) -> int | None:
        """A property as a whole number from 0 to 2^64 - 1, exact."""
        value = self.get(name)
        if not isinstance(value, str) or not _COUNT.fullmatch(value.strip()):
            return None
        number = int(value)
        return number if number <= LARGEST else None

    def moment(self, name: str) -> datetime | None:
        """A property as a moment in UTC."""
        value = self.get(name)
        return moment(value) if isinstance(value, str) else None

    def many(self, name: str) -> tuple[str, ...]:
        """A property as the texts of an array."""
        value = self.get(name)
        return value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and what to ask for the rest with ("" when there is none)."""

    rows: tuple[Row, ...]
    context: str


class Fault(Exception):
    """The machine said no: the number of Windows (WSManFault), of WMI (MSFT_WmiError), subcode and reason."""

    def __init__(self, number: int | None, wmi: int | None, code: str, subcode: str, reason: str) -> None:
        super().__init__(reason)
        self.number, self.wmi, self.code, self.subcode, self.reason = number, wmi, code, subcode, reason


def page(data: bytes, asked: str) -> Page:
    """A page of rows that answers the message `asked`. Raises NotAnAnswer, Fault."""
    body = _body(data, asked)
    answer = _child(body, "EnumerateResponse", "PullResponse")
    rows: list[Row] = []
    context, done = "", False
    for part in answer:
        name = _local(part)
        if name == "Items":
            rows += (_row(item) for item in part)
        elif name == "EnumerationContext":
            context = (part.text or "").strip()
        elif name == "EndOfSequence":
            done = True
    if not done and not context:
        raise NotAnAnswer("is a page that neither ends nor goes on")
    if len(context) > 4096:
        raise NotAnAnswer("goes on with a context that is none")
    return Page(tuple(rows), "" if done else context)


def output(data: bytes, asked: str, method: str) -> Row:
    """What a method gave back, its ReturnValue included. Raises NotAnAnswer, Fault."""
    return _row(_child(_body(data, asked), f"{method}_OUTPUT"))


def released(data: bytes, asked: str) -> None:
    """Whether it answers the message `asked` at all. Raises NotAnAnswer, Fault."""
    _body(data, asked)


def identity(data: bytes) -> Row:
    """ProductVendor, ProductVersion, ProtocolVersion. Raises NotAnAnswer, Fault."""
    root = _parsed(data)
    return _row(_child(_child(root, "Body"), "IdentifyResponse"))


def fault(data: bytes, asked: str) -> Fault:
    """The fault in an answer that came as an error. Raises NotAnAnswer where there is none.

    Some faults relate to no message (those of quotas); none may relate to another one.
    """
    root = _parsed(data)
    related = _related(root)
    if related and asked and related.lower() != asked.lower():
        raise NotAnAnswer("answers another question than the one asked")
    return _fault(_child(_child(root, "Body"), "Fault"))


def moment(text: str) -> datetime | None:
    """A moment in UTC from its XML Schema or DMTF text; without a zone it is taken as UTC. None for anything else."""
    found = _MOMENT.fullmatch(text.strip()) if len(text) < 64 else None
    if found is None:
        return None
    parts = found.groups()[:8] if found[1] else found.groups()[8:]
    zone = str(parts[7] or "Z")
    if zone == "Z":
        minutes = 0
    elif found[1]:
        minutes = int(zone[0] + "1") * (60 * int(zone[1:3]) + int(zone[4:6]))
    else:
        minutes = int(zone)
    micros = int((parts[6] or "0").ljust(6, "0")[:6])
    try:
        made = datetime(*(int(p) for p in parts[:6]), micros, tzinfo=timezone(timedelta(minutes=minutes)))  # type: ignore[misc,arg-type]
        return made.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parsed(data: bytes) -> ET.Element:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NotAnAnswer("is no text in UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotAnAnswer("carries a document type, which no WS-Management message has")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there is nothing to expand
    except (ET.ParseError, ValueError):
        raise NotAnAnswer("is no XML") from None
    if _local(root) != "Envelope":
        raise NotAnAnswer("is no SOAP message")
    return root


def _body(data: bytes, asked: str) -> ET.Element:
    """The body of the answer to `asked`."""
    root = _parsed(data)
    body = _child(root, "Body")
    found = next((child for child in body if _local(child) == "Fault"), None)
    related = _related(root)
    if related.lower() != asked.lower() and (related or found is None):
        raise NotAnAnswer("answers another question than the one asked")
    if found is not None:
        raise _fault(found)
    return body


def _related(root: ET.Element) -> str:
    header = next((part for part in root if _local(part) == "Header"), ())
    return next(((part.text or "").strip() for part in header if _local(part) == "RelatesTo"), "")


def _child(parent: ET.Element, *names: str) -> ET.Element:
    for child in parent:
        if _local(child) in names:
            return child
    raise NotAnAnswer(f"has no {names[0]}")


def _row(item: ET.Element) -> Row:
    row = Row()
    for child in item:
        name, value = _local(child), _value(child)
        if name not in row:
            row[name] = value
        elif value is not None:  # an array is the element repeated
            before = row[name]
            row[name] = (*(before if isinstance(before, tuple) else () if before is None else (before,)), str(value))
    return row


def _value(element: ET.Element) -> str | None:
    if element.get(_NIL) in ("true", "1"):
        return None
    if len(element) == 0:
        return element.text or ""
    inner = element[0]
    return inner.text or "" if _local(inner) in ("Datetime", "Date", "Time", "Interval") else None


def _fault(element: ET.Element) -> Fault:
    code = subcode = reason = ""
    number = wmi = None
    for part in element.iter():
        name = _local(part)
        if name == "Value" and not code:
            code = clean(part.text or "", 64)
        elif name == "Value" and not subcode:
            subcode = clean(part.text or "", 64)
        elif name == "Text" and not reason:
            reason = clean(part.text or "", 200)
        elif name == "WSManFault" and number is None:
            number = _count(part.get("Code") or "")
        elif name == "error_Code" and wmi is None:
            wmi = _count(part.text or "")
    return Fault(number, wmi, code, subcode, reason)


def _count(text: str) -> int | None:
    return int(text) if _COUNT.fullmatch(text.strip()) else None


def _local(element: ET.Element) -> str:
    return str(element.tag).rpartition("}")[2]
