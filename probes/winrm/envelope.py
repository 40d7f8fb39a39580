"""What is said to a Windows machine: SOAP envelopes of WS-Management (DSP0226) and the WQL inside them.

Class, method and property names come from our own code only and are checked; what a person typed gets into WQL as
a quoted literal and nowhere else.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

CIMV2 = "root/cimv2"
PAGE = 512_000
"""The envelope asked for, counted by Windows in UTF-16; its default (153 600) gives pages of 76 000 characters."""
ITEMS = 10_000
"""The most items of a page: without it, every Enumerate brings one and the rest costs another post."""

_WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
_ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
_IDENTITY = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NAMESPACE = re.compile(r"[A-Za-z_]\w*(?:/\w+)*", re.ASCII)
_OPEN = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    f'xmlns:n="{_ENUMERATION}" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>'
)
_ALWAYS = (
    '<a:ReplyTo><a:Address s:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous'
    f'</a:Address></a:ReplyTo><w:MaxEnvelopeSize s:mustUnderstand="true">{PAGE}</w:MaxEnvelopeSize>'
    '<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>'
)


@dataclass(frozen=True, slots=True)
class Query:
    """One class, the properties asked for, and the condition (WQL, made here from checked names and `literal`)."""

    table: str
    properties: tuple[str, ...]
    where: str = ""
    namespace: str = CIMV2

    def __post_init__(self) -> None:
        for name in (self.table, *self.properties):
            _checked(name)
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError(f"{self.namespace!r} is no WMI namespace")

    @property
    def text(self) -> str:
        """The query in WQL."""
        where = f" where {self.where}" if self.where else ""
        return f"select {','.join(self.properties)} from {self.table}{where}"  # noqa: S608 - checked names; no database of ours


@dataclass(frozen=True, slots=True)
class Message:
    """An envelope and the id its answer must relate to."""

    id: str
    text: str


def literal(text: str) -> str:
    """`text` as a WQL literal. Raises ValueError for control characters, which no name of Windows has."""
    if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text):
        raise ValueError("a control character is in no name")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identify() -> Message:
    """Who is there (DSP0226, chapter 11). Its answer relates to nothing."""
    body = f'<s:Header/><s:Body><i:Identify xmlns:i="{_IDENTITY}"/></s:Body></s:Envelope>'
    return Message("", f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">{body}')


def enumeration(to: str, query: Query, seconds: float) -> Message:
    """The first page of a query, which for most is the only one."""
    return _message(
        to,
        f"{_WMI}{query.namespace}/*",
        f"{_ENUMERATION}/Enumerate",
        seconds,
        f"<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>{ITEMS}</w:MaxElements>"
        f'<w:Filter Dialect="http://schemas.microsoft.com/wbem/wsman/1/WQL">{escape(query.text)}</w:Filter></n:Enumerate>',
    )


def pull(to: str, query: Query, context: str, seconds: float) -> Message:
    """A further page."""
    return _message(
        to,
        f"{_WMI}{query.namespace}/*",
        f"{_ENUMERATION}/Pull",
        seconds,
        f"<n:Pull><n:EnumerationContext>{escape(context)}</n:EnumerationContext>"
        f"<n:MaxElements>{ITEMS}</n:MaxElements></n:Pull>",
    )


def release(to: str, query: Query, context: str, seconds: float) -> Message:
    """The rest is not wanted."""
    body = f"<n:Release><n:EnumerationContext>{escape(context)}</n:EnumerationContext></n:Release>"
    return _message(to, f"{_WMI}{query.namespace}/*", f"{_ENUMERATION}/Release", seconds, body)


def invoke(
    to: str, namespace: str, table: str, method: str, values: Mapping[str, str | int], seconds: float,
    selectors: Mapping[str, str] | None = None,
) -> Message:  # fmt: skip
    """A method of a class or, with `selectors` (the values of its keys), of one instance; parameters in the order given."""
    uri = f"{_WMI}{namespace}/{_checked(table)}"
    inner = "".join(f"<p:{_checked(name)}>{escape(str(value))}</p:{name}>" for name, value in values.items())
    body = f'<p:{_checked(method)}_INPUT xmlns:p="{uri}">{inner}</p:{method}_INPUT>'
    return _message(to, uri, f"{uri}/{method}", seconds, body, selectors or {})


def _message(
    to: str, resource: str, action: str, seconds: float, body: str, selectors: Mapping[str, str] | None = None
) -> Message:
    made = f"uuid:{str(uuid.uuid4()).upper()}"
    chosen = "".join(
        f'<w:Selector Name="{_checked(name)}">{escape(value)}</w:Selector>' for name, value in (selectors or {}).items()
    )
    head = (
        f'{_OPEN}<a:To>{escape(to)}</a:To><w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
        f'<a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>{made}</a:MessageID>'
        f"{f'<w:SelectorSet>{chosen}</w:SelectorSet>' if chosen else ''}"
        f"{_ALWAYS}<w:OperationTimeout>PT{max(1.0, seconds):.3f}S</w:OperationTimeout></s:Header>"
    )
    return Message(made, f"{head}<s:Body>{body}</s:Body></s:Envelope>")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of WMI")
    return name
