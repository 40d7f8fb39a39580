"""What may be done to a machine, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.orders import KINDS, Parameter, Unclear, bound, checked, parameters

HOSTILE = (
    "", " ", "-rf", "--now", "nginx;reboot", "nginx\nreboot", "nginx reboot", "$(reboot)", "`reboot`", "nginx'", 'nginx"',
    "nginx\u2028reboot", "nginx\u0085x", "nginx\x00", "../x", "a/b", "x" * 10_240, "nginx&", "a|b", "a>b", "*", "?", "~", "\\x2d",
    "ｎginx", "nginx\u202e", "%i", "{a,b}", "!x", "#x",
)  # fmt: skip
BOOK = (
    Parameter("queue", "choice", choices=("mail", "print")),
    Parameter("days", "number", low=1, high=30),
    Parameter("unit", "word"),
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["service.restart", "service.start", "service.stop"])
def test_a_service_is_a_name_and_nothing_else(kind: str, text: str) -> None:
    with pytest.raises(Unclear):
        checked(kind, {"service": text})


@pytest.mark.parametrize(
    "text", ["nginx.service", "getty@tty1.service", "MSSQL$SQLEXPRESS", "Spooler", "postgresql@15-main"]
)
def test_services_as_they_are_called_are_taken(text: str) -> None:
    assert checked("service.restart", {"service": text}) == {"service": text}


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "nginx reboot"])
def test_a_guest_is_a_name_and_nothing_else(text: str) -> None:
    with pytest.raises(Unclear):
        checked("vm.restart", {"hypervisor": 3, "guest": text})


@pytest.mark.parametrize("text", HOSTILE)
def test_a_word_of_a_runbook_is_a_word(text: str) -> None:
    values = {"queue": "mail", "days": 3, "unit": text}
    with pytest.raises(Unclear):
        checked("runbook.run", {"runbook": 1, "values": values}, BOOK)


@pytest.mark.parametrize(
    "values",
    [
        {"queue": "other", "days": 3, "unit": "x"},
        {"queue": "mail", "days": 31, "unit": "x"},
        {"queue": "mail", "days": "3 ", "unit": "x"},
        {"queue": "mail", "days": True, "unit": "x"},
        {"queue": "mail", "days": 3},
        {"queue": "mail", "days": 3, "unit": "x", "more": "y"},
        {"queue": ["mail"], "days": 3, "unit": "x"},
        "queue",
    ],
)
def test_what_a_runbook_is_not_told_to_take_is_refused(values: Any) -> None:
    with pytest.raises(Unclear):
        checked("runbook.run", {"runbook": 1, "values": values}, BOOK)


def test_what_a_runbook_takes_is_handed_over_as_text() -> None:
    kept = checked("runbook.run", {"runbook": 1, "values": {"queue": "mail", "days": "007", "unit": "a.b"}}, BOOK)
    assert kept == {"runbook": 1, "values": {"queue": "mail", "days": "7", "unit": "a.b"}}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("host.restart", {"force": True}),
        ("service.restart", {"service": "a", "user": "root"}),
        ("service.restart", None),
        ("vm.restart", {"hypervisor": True, "guest": "a"}),
        ("vm.restart", {"hypervisor": "1", "guest": "a"}),
        ("host.destroy", {}),
        (None, {}),
    ],
)
def test_whatever_is_more_or_less_than_the_order_is_refused(kind: Any, params: Any) -> None:
    with pytest.raises(Unclear):
        checked(kind, params)


@given(
    st.sampled_from(KINDS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_any_nonsense_is_refused_in_words_or_kept_as_the_form_says(kind: str, params: Any) -> None:
    try:
        kept = checked(kind, params, BOOK)
    except Unclear:
        return
    assert kept == checked(kind, kept, BOOK)


@pytest.mark.parametrize(
    "told",
    [
        None, {}, [1], [{"name": "A", "kind": "word"}], [{"name": "a", "kind": "text"}], [{"name": "a", "kind": "choice"}],
        [{"name": "a", "kind": "choice", "choices": []}], [{"name": "a", "kind": "choice", "choices": ["x y"]}],
        [{"name": "a", "kind": "number", "low": 3, "high": 1}], [{"name": "a", "kind": "word"}] * 2,
        [{"name": f"a{n}", "kind": "word"} for n in range(13)],
    ],
)  # fmt: skip
def test_parameters_nobody_could_keep_to_are_refused(told: Any) -> None:
    with pytest.raises(Unclear):
        parameters(told)


def test_an_agreement_is_bound_to_every_part() -> None:
    facts = {"to": [{"host": 1, "address": "10.0.0.1", "keys": ["a"]}]}
    whole = bound("service.restart", {"service": "a"}, facts)
    assert whole == bound("service.restart", {"service": "a"}, facts)
    others = [
        bound("service.stop", {"service": "a"}, facts),
        bound("service.restart", {"service": "b"}, facts),
        bound("service.restart", {"service": "a"}, {"to": [{"host": 1, "address": "10.0.0.2", "keys": ["a"]}]}),
        bound("service.restart", {"service": "a"}, {"to": [{"host": 1, "address": "10.0.0.1", "keys": ["b"]}]}),
    ]
    assert len({whole, *others}) == 5
