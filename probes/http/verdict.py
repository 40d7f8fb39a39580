"""What a check wants of an answer: a status, a text that is there or not, a value in a JSON document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from domain.reading import Failure, FailureKind
from probes.limits import ANSWER_BYTES, TooMuch, clean, inflate

Step = str | int
MISSING = object()

_STEP = re.compile(r"""\.?([^.\[\]"']+)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]|\['([^']*)'\]""")
# Text encodings of the web that decode in one pass; some others Python knows take time squared.
_CHARSETS = re.compile(
    r"utf-?8|utf-?16([bl]e)?|us-ascii|ascii|latin-?1|iso-?8859-\d{1,2}|windows-125\d|cp125\d|koi8-[ru]"
    r"|shift_?jis|euc-(jp|kr)|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of a look. `body` is as it came from the line; `whole` says that none was left out."""

    status: int
    encoding: str
    charset: str
    body: bytes
    whole: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the answer must be like, as options say it."""

    status: str
    keyword: str
    absent: str
    json_path: str
    json_value: str


def judge(answer: Answer, wanted: Wanted, credential: bool) -> Failure | None:
    """Why `answer` is not what is wanted, or None."""
    if (failure := status(answer, wanted.status, credential)) is not None:
        return failure
    if not (wanted.keyword or wanted.absent or wanted.json_path):
        return None
    try:
        text = text_of(answer)
    except (TooMuch, ValueError) as error:
        return _refused(f"The body {clean(str(error))}.")
    return _keywords(text, answer, wanted) or _json(text, answer, wanted)


def statuses(text: str) -> tuple[tuple[int, int], ...]:
    """ "200-299, 401" as ranges; raises ValueError with a sentence."""
    ranges = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        first, last = low.strip(), high.strip() if dash else low.strip()
        if not re.fullmatch(r"[1-9]\d\d", first) or not re.fullmatch(r"[1-9]\d\d", last) or first > last:
            raise ValueError(f"option 'status' is like 200-399 or 200,301, not {text!r}.")
        ranges.append((int(first), int(last)))
    return tuple(ranges)


def steps(path: str) -> tuple[Step, ...]:
    """`status.items[0]["a.b"]` as steps; a leading `$` is allowed; raises ValueError with a sentence."""
    rest, found = path.strip().removeprefix("$"), list[Step]()
    while rest:
        match = _STEP.match(rest)
        if match is None:
            raise ValueError(f"option 'json_path' is like status.items[0].name, not {path!r}.")
        name, index, quoted, single = match.groups()
        found.append(name or (int(index) if index else json.loads(quoted) if quoted else single))
        rest = rest[match.end() :]
    return tuple(found)


def walk(document: Any, path: tuple[Step, ...]) -> Any:
    """What lies at `path`, or MISSING. A number also names the member of an object that is written so."""
    for step in path:
        if isinstance(document, list):
            at = int(step) if str(step).isascii() and str(step).isdigit() else len(document)
            document = document[at] if at < len(document) else MISSING
        elif isinstance(document, dict):
            document = document.get(str(step), MISSING)
        else:
            return MISSING
    return document


def status(answer: Answer, wanted: str, credential: bool) -> Failure | None:
    """Why the status is not one of those wanted, or None."""
    status = answer.status
    if any(low <= status <= high for low, high in statuses(wanted)):
        return None
    name = f" ({HTTPStatus(status).phrase})" if status in HTTPStatus._value2member_map_ else ""
    if status == 401 and credential:
        return Failure(FailureKind.DENIED, "Answered 401: the server does not take this check's credential.")
    return _refused(f"Answered {status}{name}, expected {wanted}.")


def _keywords(text: str, answer: Answer, wanted: Wanted) -> Failure | None:
    part = "" if answer.whole else f" in the first {ANSWER_BYTES // 1024} KiB"
    if wanted.keyword and wanted.keyword not in text:
        return _refused(f"The text '{clean(wanted.keyword, 80)}' is not in the answer{part}.")
    if wanted.absent and wanted.absent in text:
        return _refused(f"The text '{clean(wanted.absent, 80)}' is in the answer and should not be.")
    return None


def _json(text: str, answer: Answer, wanted: Wanted) -> Failure | None:
    if not wanted.json_path:
        return None
    if not answer.whole:
        return _refused(f"The answer is larger than {ANSWER_BYTES // 1024} KiB: its JSON cannot be checked.")
    try:
        found = walk(document(text), steps(wanted.json_path))
    except (ValueError, RecursionError):
        return _refused("The answer is not JSON.")
    path = clean(wanted.json_path, 80)
    if found is MISSING:
        return _refused(f"The JSON of the answer has nothing at '{path}'.")
    if wanted.json_value and not same(found, wanted.json_value):
        return _refused(f"The JSON of the answer is {shown(found)} at '{path}', expected '{wanted.json_value}'.")
    return None


def document(text: str) -> Any:
    """`text` as JSON, strictly. Raises ValueError and RecursionError."""
    return json.loads(text, parse_constant=_no_number)


def same(found: Any, wanted: str) -> bool:
    """Whether a JSON value is what a person wrote: text as it is, everything else as JSON."""
    if isinstance(found, str):
        return found == wanted
    try:
        return type(plain := json.loads(wanted)) in _alike(found) and bool(plain == found)
    except ValueError:
        return False


def _alike(found: Any) -> tuple[type, ...]:
    return (int, float) if isinstance(found, int | float) and not isinstance(found, bool) else (type(found),)


def shown(found: Any) -> str:
    """A JSON value in a sentence."""
    return f"'{clean(found if isinstance(found, str) else json.dumps(found), 80)}'"


def text_of(answer: Answer) -> str:
    """The body as text, unpacked within the caps. Raises TooMuch and ValueError."""
    charset = answer.charset if _CHARSETS.fullmatch(answer.charset) else "utf-8"
    try:
        return inflate(answer.body, answer.encoding).decode(charset, "replace")
    except LookupError:
        return inflate(answer.body, answer.encoding).decode("utf-8", "replace")


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _refused(detail: str) -> Failure:
    return Failure(FailureKind.REFUSED, detail)
