"""Any exporter already running: series of a Prometheus text endpoint, chosen by name and labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from domain.options import option
from domain.reading import Fact, Failure, FailureKind, Measure, Reading, Target
from probes import chosen, http
from probes.base import Keep, Probe, Produces
from probes.chosen import Choice
from probes.http import verdict
from probes.http.verdict import Answer
from probes.limits import TooMuch, clean, number
from probes.prometheus import text
from probes.prometheus.text import Page, Series

BODY_BYTES = 768 * 1024
"""The most bytes of a page: what one look may receive, less room for its headers."""
EACH = 50
"""The most series one choice may bring; further ones are not looked at."""
OFFERED = 20
"""The most families that are named where nothing is chosen yet."""
_OWN = ("go_", "process_", "promhttp_", "python_", "scrape_")
"""How the names of what exporters say of themselves begin: hardly what anyone looks for."""
UNITS = {
    "bytes": "By", "seconds": "s", "celsius": "Cel", "volts": "V", "amperes": "A", "joules": "J", "watts": "W",
    "meters": "m", "grams": "g", "hertz": "Hz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """Where the exporter is, and what of it is wanted."""

    url: str = option("URL", default="", help="Empty: made of the machine's address and the next three.")
    tls: bool = option("HTTPS", default=False)
    port: int = option("Port", default=9100, low=0, high=65535, help="0: 80, or 443 with HTTPS.")
    path: str = option("Path", default="/metrics")
    values: tuple[str, ...] = option(
        "Series", default=(), help='One a line: free = node_filesystem_avail_bytes{mountpoint="/"} : By'
    )
    verify: bool = option("Verify the certificate", default=True)
    unverified_because: str = option("Why it is not verified", default="", help="Required when it is not.")
    ca: str = option("Own certificate authority", default="", help="PEM; trusted instead of the system's.")
    plain_password: bool = option("Allow the password without TLS", default=False)
    family: str = option("IP version", default="any", choices=("any", "4", "6"))

    def __post_init__(self) -> None:
        http.page_of(self)
        for choice in chosen.read("values", whole(self.values)):
            wanted(choice)

    @property
    def knocks(self) -> int:
        """The port a test knocks at; 0 for none."""
        return http.page_of(self).knocks


@dataclass(frozen=True, slots=True)
class Wanted:
    """One choice, understood."""

    choice: Choice
    name: str
    rules: tuple[tuple[str, str, str], ...]

    def fits(self, series: Series) -> bool:
        """Whether it is one of those chosen."""
        if series.name != self.name:
            return False
        labels = dict(series.labels)
        return all((labels.get(name, "") == value) is (operator == "=") for name, operator, value in self.rules)


def wanted(choice: Choice) -> Wanted:
    """The name and labels of a choice; raises ValueError with a sentence."""
    name, brace, _ = choice.where.partition("{")
    found = text.selector(choice.where, len(name)) if brace else ([], len(name))
    plain = text.series(f"{name.strip()} 1")
    if found is None or choice.where[found[1] :].strip() or plain is None or plain.name != name.strip():
        raise ValueError(
            f"option 'values' is like 'label = name{{label=\"value\"}} : unit', not '{clean(choice.where, 80)}'."
        )
    return Wanted(choice, plain.name, tuple(found[0]))


def whole(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Lines put together again where a comma between two labels was taken for one between two values."""
    joined: list[str] = []
    for line in lines:
        if joined and joined[-1].count("{") > joined[-1].count("}"):
            joined[-1] += f",{line}"
        else:
            joined.append(line)
    return tuple(joined)


def look(target: Target, keep: Keep) -> Reading:
    """Fetch the page and take what was chosen from it."""
    options: Options = target.options
    choices = tuple(wanted(choice) for choice in chosen.read("values", whole(options.values)))
    signed = target.secret is not None

    def judge(answer: Answer) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
        if (failure := verdict.status(answer, "200", signed)) is not None:
            return (), (), failure
        try:
            return take(text.parse(verdict.text_of(answer)), choices, answer.whole)
        except (TooMuch, ValueError) as error:
            return (), (), Failure(FailureKind.REFUSED, f"The body {clean(str(error))}.")

    return http.visit(target, http.page_of(options), keep, judge, most=BODY_BYTES)


def take(
    page: Page, choices: tuple[Wanted, ...], complete: bool
) -> tuple[tuple[Measure, ...], tuple[Fact, ...], Failure | None]:
    """The chosen series as measures, and what is missing of them."""
    if not page.series:
        return (), (), Failure(FailureKind.REFUSED, "The answer is no page of metrics: is it the right path?")
    measures = [Measure("prometheus.series", float(len(page.series)))]
    facts: list[Fact] = []
    missing: list[str] = []
    used: Counter[str] = Counter()
    for one in choices:
        rows = [series for series in page.series if one.fits(series)][:EACH]
        made = [
            m for series in rows if (m := _measure(series, one, page, _called(series, rows, one, used))) is not None
        ]
        measures += made
        if not made:
            missing.append(one.choice.where if not rows else f"{one.choice.where} (it is {clean(rows[0].value, 20)})")
    if not choices:
        families = sorted({series.name for series in page.series}, key=lambda name: (name.startswith(_OWN), name))
        facts.append(Fact("prometheus.offered", clean(", ".join(families[:OFFERED]))))
    if page.skipped:
        facts.append(Fact("prometheus.skipped", f"{page.skipped} lines"))
    failure = None
    if missing:
        rest = "" if complete else f", in the first {BODY_BYTES // 1024} KiB"
        failure = Failure(FailureKind.REFUSED, f"There is no number for {clean(', '.join(missing), 200)}{rest}.")
    return tuple(measures), tuple(facts), failure


def _called(series: Series, rows: list[Series], one: Wanted, used: Counter[str]) -> str:
    """The label of the choice, and of several series what tells this one from the others."""
    name = one.choice.label
    if len(rows) > 1:
        telling = [value for key, value in series.labels if any(dict(row.labels).get(key) != value for row in rows)]
        name = clean(f"{name} {' '.join(telling)}".strip(), 100)
    used[name] += 1
    return name if used[name] == 1 else clean(f"{name} #{used[name]}", 110)


def _measure(series: Series, one: Wanted, page: Page, of: str) -> Measure | None:
    """A number with its unit, said by the person or by the series' own name; None for NaN and the infinities."""
    value = number(series.value)
    if value is None:
        return None
    return Measure(
        "prometheus.value", value, one.choice.unit or _unit(series.name), of, one.choice.kind or page.kind(series.name)
    )


def _unit(name: str) -> str:
    """Names of series end in their unit (Prometheus, "Metric and label naming")."""
    for ending in ("_total", "_sum", "_bucket"):
        name = name.removesuffix(ending)
    return UNITS.get(name.rpartition("_")[2], "1")


PROBE = Probe(
    kind="prometheus",
    label="Exporter (Prometheus)",
    look=look,
    options=Options,
    produces=(
        Produces("prometheus.value", "1", "Chosen series", of="series"),
        Produces("prometheus.series", "1", "Series offered"),
        Produces("http.duration", "s", "Time to the whole answer"),
        Produces("http.status_code", "1", "Status"),
        Produces("http.response.size", "By", "Size of the answer"),
        Produces("tls.certificate.expiry", "s", "Certificate is good for"),
    ),
    secret=True,
    port=9100,
)
