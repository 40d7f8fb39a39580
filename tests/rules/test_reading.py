"""The words a probe speaks, as everybody else reads them."""

from __future__ import annotations

from domain.reading import Cost, Fact, Failure, FailureKind, Measure, Reading, Secret, Target


def test_a_failed_look_brings_its_reason_and_nothing_else() -> None:
    failed = Reading.failed(FailureKind.TIMEOUT, "No answer.", Cost(64, 0))
    assert failed == Reading(failure=Failure(FailureKind.TIMEOUT, "No answer."), cost=Cost(64, 0))
    assert Reading.failed(FailureKind.DENIED, "No.").cost == Cost(0, 0)


def test_what_is_not_said_is_nothing() -> None:
    assert Reading() == Reading((), (), None, Cost(sent=0, received=0), None, 0.0)
    assert Measure("x", 1.0) == Measure("x", 1.0, unit="1", of="", kind="gauge")
    assert Fact("x", "y").of == ""
    assert Target("a", None).deadline == 10.0 and Target("a", None).secret is None


def test_the_kinds_of_failure_are_those_stored() -> None:
    assert [str(kind) for kind in FailureKind] == [
        "unreachable",
        "timeout",
        "refused",
        "denied",
        "untrusted",
        "unsupported",
        "broken",
    ]


def test_a_secret_is_never_printed() -> None:
    secret = Secret("root", "geheim", "-----BEGIN", "phrase")
    assert str(secret) == repr(secret) == f"{secret}" == "Secret(***)"
    assert Secret() == Secret("", "", "", "")
