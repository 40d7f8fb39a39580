"""The reading of WS-Management answers, on synthetic ones of every documented shape."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from probes.winrm import answer, envelope
from probes.winrm.answer import Fault, NotAnAnswer, Row, moment
from probes.winrm.counters import Counters, Delta
from probes.winrm.envelope import Query, literal

SEEDS = Path(__file__).parents[1] / "fuzz" / "seeds" / "winrm"
ASKED = "uuid:00000000-0000-4000-8000-000000000001"


def seed(name: str) -> bytes:
    return (SEEDS / f"{name}.xml").read_bytes()


def page_of(items: str, *, end: str = "<w:EndOfSequence/>", context: str = "", related: str = ASKED) -> bytes:
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="urn:p" xmlns:cim="urn:cim">'
        f"<s:Header><a:RelatesTo>{related}</a:RelatesTo></s:Header><s:Body><n:EnumerateResponse>"
        f"<n:EnumerationContext>{context}</n:EnumerationContext><w:Items>{items}</w:Items>{end}</n:EnumerateResponse></s:Body></s:Envelope>"
    ).encode()


def row_of(inner: str) -> Row:
    return answer.page(page_of(f"<w:XmlFragment>{inner}</w:XmlFragment>"), ASKED).rows[0]


def test_a_list_of_properties_and_a_star_are_read_alike() -> None:
    plain, star = answer.page(seed("page-os"), ASKED).rows[0], answer.page(seed("page-star"), ASKED).rows[0]
    for name in ("Caption", "Version", "CSName", "LastBootUpTime"):
        assert plain[name] == star[name]
    assert star["CSDVersion"] is None
    assert star["MUILanguages"] == ("en-US", "id-ID")
    assert star.moment("LastBootUpTime") == datetime(2025, 11, 21, 0, 40, tzinfo=UTC)


def test_a_page_goes_on_or_ends() -> None:
    assert answer.page(seed("page-first"), ASKED).context.startswith("uuid:")
    assert len(answer.page(seed("page-first"), ASKED).rows) == 2
    assert len(answer.page(seed("page-pulled"), ASKED).rows) == 3
    assert answer.page(page_of(""), ASKED) == answer.Page((), "")
    assert answer.page(page_of("", end="", context="next"), ASKED) == answer.Page((), "next")
    with pytest.raises(NotAnAnswer, match="neither ends nor goes on"):
        answer.page(page_of("", end=""), ASKED)


def test_numbers_are_exact_and_only_numbers() -> None:
    row = row_of(
        "<A>18446744073709551615</A><B>18446744073709551616</B><C>-1</C><D>1e3</D><E> 7 </E><F/><G xsi:nil='true'/><H>\u0663</H>"
    )
    assert row.whole("A") == 2**64 - 1
    assert [row.whole(name) for name in "BCDFGHX"] == [None] * 7
    assert row.whole("E") == 7


def test_an_array_is_repeated_elements_and_null_is_none() -> None:
    row = row_of("<A>x</A><A>y</A><B xsi:nil='1'/><C>one</C>")
    assert row == {"A": ("x", "y"), "B": None, "C": "one"}
    assert (row.many("A"), row.many("B"), row.many("C")) == (("x", "y"), (), ("one",))
    assert row.text("A") == ""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2013-04-15T16:28:43.488171Z", datetime(2013, 4, 15, 16, 28, 43, 488171, UTC)),
        ("2013-04-15T16:28:43Z", datetime(2013, 4, 15, 16, 28, 43, tzinfo=UTC)),
        ("2013-04-15T16:28:43.5+07:00", datetime(2013, 4, 15, 9, 28, 43, 500000, UTC)),
        ("20130415162843.500000+420", datetime(2013, 4, 15, 9, 28, 43, 500000, UTC)),
        ("20130415162843.500000-000", datetime(2013, 4, 15, 16, 28, 43, 500000, UTC)),
        ("2013-13-15T16:28:43Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_moments_come_in_two_forms_and_as_nonsense(text: str, meant: datetime | None) -> None:
    assert moment(text) == meant


def test_only_the_answer_to_our_own_question_is_read() -> None:
    assert answer.page(page_of("", related=ASKED.upper()), ASKED)
    for data in (page_of("", related="uuid:other"), page_of("", related="")):
        with pytest.raises(NotAnAnswer, match="another question"):
            answer.page(data, ASKED)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xfe<", b"<html/>", b"<a", b"plain", page_of("").replace(b"<s:Body>", b"<s:Body").replace(b"<s:Envelope", b"<!DOCTYPE x><s:Envelope"),
        page_of("").decode().encode("utf-16"), b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + page_of("&b;"), page_of("").replace(b"EnumerateResponse", b"Else"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(NotAnAnswer) as refused:
        answer.page(data, ASKED)
    assert str(refused.value)


def test_deep_nesting_and_a_flood_of_elements_do_no_harm() -> None:
    with pytest.raises(NotAnAnswer):
        answer.page(b"<a>" * 300_000, ASKED)
    assert len(answer.page(page_of("<w:XmlFragment/>" * 50_000), ASKED).rows) == 50_000


def test_faults_say_which() -> None:
    for name, number, subcode in (
        ("fault-class", 2150858778, "n:CannotProcessFilter"),
        ("fault-denied", 5, "w:AccessDenied"),
        ("fault-quota", 2150859173, "w:QuotaLimit"),
    ):
        with pytest.raises(Fault) as found:
            answer.page(seed(name), ASKED)
        assert (found.value.number, found.value.subcode) == (number, subcode)
        assert answer.fault(seed(name), ASKED).number == number
        with pytest.raises(NotAnAnswer):
            answer.fault(seed(name), "uuid:other")


def test_a_fault_of_quotas_relates_to_nothing_and_is_believed() -> None:
    data = seed("fault-quota").replace(b"<a:RelatesTo>" + ASKED.encode() + b"</a:RelatesTo>", b"")
    assert answer.fault(data, ASKED).subcode == "w:QuotaLimit"


def test_output_of_a_method_and_identity() -> None:
    assert answer.output(seed("output-key"), ASKED, "EnumKey").whole("ReturnValue") == 2
    assert answer.output(seed("output-name"), ASKED, "GetStringValue").text("sValue") == "SYNTH01"
    assert answer.identity(seed("identity")).text("ProductVendor") == "Microsoft Corporation"


def test_names_are_ours_and_texts_are_literals() -> None:
    assert literal("O'Brien\\x") == "'O\\'Brien\\\\x'"
    for text in ("a\nb", "\x00", "\x85"):
        with pytest.raises(ValueError, match="control"):
            literal(text)
    for table, properties in (("Win32_X where", ("A",)), ("Win32_X", ("A;",)), ("", ("A",))):
        with pytest.raises(ValueError, match="no name of WMI"):
            Query(table, properties)
    with pytest.raises(ValueError, match="namespace"):
        Query("A", ("B",), namespace="root/cimv2?x")
    text = envelope.enumeration("http://h/wsman", Query("A", ("B",), f"C={literal('<&>')}"), 20).text
    assert "select B from A where C='&lt;&amp;&gt;'" in text


def test_a_counter_that_went_down_has_no_rate() -> None:
    stamps = {"Frequency_PerfTime": "10"}
    before = Row(N="5", T="7", Timestamp_PerfTime="100", **stamps)
    now = Row(N="25", T="3", Timestamp_PerfTime="200", **stamps)
    assert Delta(now, before).rate("N") == 2.0
    assert Delta(now, before).rate("T") is None
    assert Delta(now, before).rate("missing") is None
    assert Delta(before, now).rate("T") is None, "time that went back makes no rate either"


def test_counters_are_compared_by_instance_and_forgotten_at_a_restart() -> None:
    counters = Counters()
    first = [Row(Name="a", N="1"), Row(Name="b", N="1")]
    assert [delta for _, delta in counters.compare("T", first, lambda row: row.text("Name"))] == [None, None]
    second = [Row(Name="b", N="2"), Row(Name="c", N="1")]
    deltas = [delta for _, delta in counters.compare("T", second, lambda row: row.text("Name"))]
    assert deltas[0] is not None
    assert deltas[0].of("N") == 1
    assert deltas[1] is None
    counters.forget()
    assert not counters.known("T")
