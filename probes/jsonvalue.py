"""A JSON endpoint: numbers from it by their path, and texts that must be there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from domain.options import option
from domain.reading import Fact, Failure, FailureKind, Measure, Reading, Secret, Target
from probes import chosen, http
from probes.base import Keep, Probe, Produces
from probes.chosen import Choice
from probes.http import verdict
from probes.http.verdict import MISSING, Answer, Step
from probes.limits import ANSWER_BYTES, TooMuch, clean, number


@dataclass(frozen=True, slots=True)
class Options:
    """Where the document is, what is read from it, and what it must say."""

    url: str = option("URL", default="", help="Empty: made of the machine's address and the next three.")
    tls: bool = option("HTTPS", default=False)
    port: int = option("Port", default=0, low=0, high=65535, help="0: 80, or 443 with HTTPS.")
    path: str = option("Path", default="/")
    values: tuple[str, ...] = option("Values", default=(), help="One a line: queue = stats.queue[0].size : By")
    expect: tuple[str, ...] = option("Expected texts", default=(), help="One a line: status = ok")
    status: str = option("Expected status", default="200-299", help="Ranges and single numbers: 200-299, 401")
    header: str = option("Header for the token", default="", help="Like X-API-Key; empty: Authorization.")
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password without TLS", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        http.page_of(self)
        places = [choice.where for choice in chosen.read("values", self.values)]
        for place in (*places, *(expected.where for expected in _expected(self.expect))):
            steps(place)
        if self.header and (
            not re.fullmatch(r"[A-Za-z0-9-]{1,64}", self.header, re.ASCII) or self.header.lower() in _OURS
        ):
            raise ValueError(f"option 'header' is the name of a header like X-API-Key, not {clean(self.header, 60)!r}.")

    @property
    def knocks(self) -> int:
        """The port a test knocks at; 0 for none."""
        return http.page_of(self).knocks


@dataclass(frozen=True, slots=True)
class Expected:
    """A text that must be at a path."""

    where: str
    text: str


_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


def look(target: Target, keep: Keep) -> Reading:
    """Fetch the document and read what was chosen from it."""
    options: Options = target.options
    values, texts = chosen.read("values", options.values), _expected(options.expect)
    signed = target.secret is not None

    def judge(answer: Answer) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
        if (failure := verdict.status(answer, options.status, signed)) is not None:
            return (), (), failure
        if not answer.whole:
            return (), (), _no(f"The answer is larger than {ANSWER_BYTES // 1024} KiB: its JSON cannot be read.")
        try:
            return take(verdict.document(verdict.text_of(answer)), values, texts)
        except TooMuch as much:
            return (), (), _no(f"The body {much}.")
        except (ValueError, RecursionError):
            return (), (), _no("The answer is not JSON.")

    sign = (lambda secret: _token(options.header, secret)) if options.header else http.basic
    return http.visit(target, http.page_of(options), keep, judge, sign=sign)


def take(
    document: Any, values: tuple[Choice, ...], texts: tuple[Expected, ...]
) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
    """The chosen values as measures (texts as facts), and the first thing that is missing or other than expected."""
    measures: list[Measure] = []
    facts: list[Fact] = []
    wrong: list[str] = []
    for choice in values:
        found = verdict.walk(document, steps(choice.where))
        value = float(found) if isinstance(found, bool) else number(found)
        if value is not None:
            measures.append(Measure("json.value", value, choice.unit or "1", choice.label, choice.kind or "gauge"))
        elif isinstance(found, str):
            facts.append(Fact("json.text", clean(found), choice.label))
        else:
            what = "nothing" if found is MISSING else verdict.shown(found)
            wrong.append(f"The JSON of the answer has {what} at '{clean(choice.where, 80)}', which is no value.")
    for one in texts:
        found = verdict.walk(document, steps(one.where))
        if found is MISSING or not verdict.same(found, one.text):
            what = "nothing" if found is MISSING else verdict.shown(found)
            said = f"at '{clean(one.where, 80)}', expected '{clean(one.text, 80)}'"
            wrong.append(f"The JSON of the answer has {what} {said}.")
    return tuple(measures), tuple(facts), _no(wrong[0]) if wrong else None


def steps(path: str) -> tuple[Step, ...]:
    """`a.b[0]` or the JSON pointer `/a/b/0` (RFC 6901) as steps; raises ValueError with a sentence."""
    if path.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    try:
        return verdict.steps(path)
    except ValueError:
        raise ValueError(
            f"option 'values' has paths like status.items[0].name or /status/items/0, not {clean(path, 80)!r}."
        ) from None


def _expected(lines: tuple[str, ...]) -> tuple[Expected, ...]:
    """`path = text` lines; raises ValueError with a sentence."""
    found = []
    for line in lines[: chosen.MOST]:
        path, equals, text = (part.strip() for part in line.partition("="))
        if not equals or not path or not text:
            raise ValueError(f"option 'expect' is like 'status = ok', not '{clean(line, 80)}'.")
        found.append(Expected(path, text))
    return tuple(found)


def _token(header: str, secret: Secret) -> dict[str, str]:
    return {header: secret.password}


def _no(detail: str) -> Failure:
    return Failure(FailureKind.REFUSED, detail)


PROBE = Probe(
    kind="json",
    label="JSON endpoint",
    look=look,
    options=Options,
    produces=(
        Produces("json.value", "1", "Chosen value", of="value"),
        Produces("http.duration", "s", "Time to the whole answer"),
        Produces("http.status_code", "1", "Status"),
        Produces("http.response.size", "By", "Size of the answer"),
        Produces("tls.certificate.expiry", "s", "Certificate is good for"),
    ),
    secret=True,
    port=80,
)
