"""What a Unix machine holds besides itself, over the same SSH session: services, processes, containers, GPUs,
pools, arrays, fresh backups, lines in logs. Slower and asked seldom.

What a person names (units, processes, files, words) never goes into a shell: units and processes are looked for
in the machine's own lists, files are listed and read by SFTP, which takes paths and runs nothing.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from domain.options import option
from domain.reading import Fact, Failure, FailureKind, Measure, Reading, Target
from probes import ssh
from probes.base import Keep, Probe, Produces
from probes.limits import Deadline, clean
from probes.ssh.files import Broken, Entry, Files, Unreadable
from probes.ssh.session import Session, Unoffered
from probes.unix import parts, snapshot

LINES = 30
"""The most files or logs one check is given."""
ENTRIES = 20_000
"""The most entries of one directory that are looked at."""
TAIL = 512 * 1024
"""The most bytes of one log that are read in one look; of a log that grew by more, the end."""
TROUBLES = 5
T = TypeVar("T")
_SPANS = {"m": 60, "h": 3600, "d": 86400}
_FILE = re.compile(r"(?P<label>[^=]{1,60})=\s*(?P<path>/.*?)(?:\s+within\s+(?P<span>\d{1,5})\s*(?P<unit>[mhd]))?\s*")
_LOG = re.compile(r"(?P<label>[^=]{1,60})=\s*(?P<path>/[^:]*?)\s*:\s*(?P<words>.+)")


@dataclass(frozen=True)
class Options:
    """How to get in, and what to look for."""

    port: int = option("Port", default=22, low=1, high=65535, help="Where the SSH server listens.")
    services: tuple[str, ...] = option(
        "Services",
        default=(),
        help="systemd units or patterns, one per line, such as nginx or postgresql@*; each must be active.",
    )
    processes: tuple[str, ...] = option(
        "Processes", default=(), help="Names or patterns, one per line; of each at least one must run."
    )
    files: tuple[str, ...] = option(
        "Fresh files",
        default=(),
        help="One per line: LABEL = /path/pattern, such as: Database = /backup/db/*.dump within 26h. The newest must be younger.",
    )
    logs: tuple[str, ...] = option(
        "Words in logs",
        default=(),
        help="One per line: LABEL = /path : text. New lines that hold the text are counted.",
    )
    host_keys: tuple[str, ...] = option("Trusted host keys", default=(), hidden=True)

    def __post_init__(self) -> None:
        wanted_files(self.files)
        wanted_logs(self.logs)


@dataclass(frozen=True, slots=True)
class File:
    """The newest of `pattern` in `directory` must be younger than `within` seconds (None: whatever its age)."""

    label: str
    directory: str
    pattern: str
    within: float | None


@dataclass(frozen=True, slots=True)
class Log:
    label: str
    path: str
    words: bytes


def wanted_files(lines: tuple[str, ...]) -> tuple[File, ...]:
    """Raises ValueError with a sentence that names the line."""
    found = []
    for line in lines[: LINES + 1]:
        match = _FILE.fullmatch(line.strip())
        if match is None or not _plain(match["path"]):
            raise ValueError(
                f"'{clean(line, 80)}' is not of the form LABEL = /path/pattern [within 26h], with * in the last part only."
            )
        within = float(match["span"]) * _SPANS[match["unit"]] if match["span"] else None
        directory, pattern = posixpath.split(match["path"])
        found.append(File(clean(match["label"]), directory, pattern, within))
    return _few(found)


def _plain(path: str) -> bool:
    """A last part, and no wildcard before it; a mistyped "within" is no path either."""
    directory, last = posixpath.split(path)
    return bool(last) and not any(mark in directory for mark in "*?[") and " within " not in path


def wanted_logs(lines: tuple[str, ...]) -> tuple[Log, ...]:
    """Raises ValueError with a sentence that names the line."""
    found = []
    for line in lines[: LINES + 1]:
        match = _LOG.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"'{clean(line, 80)}' is not of the form LABEL = /path : text.")
        found.append(Log(clean(match["label"]), match["path"], match["words"].strip().encode()))
    return _few(found)


def _few(found: list[T]) -> tuple[T, ...]:
    if len(found) > LINES:
        raise ValueError(f"at most {LINES} files and as many logs are looked at by one check.")
    return tuple(found)


@dataclass(slots=True)
class _Read:
    """How far each log of one check has been read."""

    sizes: dict[str, int] = field(default_factory=dict)

    def close(self) -> None:
        """Nothing is held open."""


def look(target: Target, keep: Keep) -> Reading:
    """One look."""
    options: Options = target.options
    user = target.secret.username if target.secret else ""
    read = keep.get(("sshparts", target.address, options.port, user, options.logs), _Read)
    return ssh.inside(target, keep, lambda session, deadline: _look(session, options, read, deadline))


def _look(session: Session, options: Options, read: _Read, deadline: Deadline) -> Reading:
    nonce = secrets.token_hex(8)
    output = session.once(parts.call(nonce), f"@@end {nonce}\n".encode(), deadline)
    answer = snapshot.read(output.decode("utf-8", "replace"), nonce)
    if answer is None:
        raise Broken("the answer is not that of the look asked for")
    told: list[Measure | Fact | str] = [
        *parts.found(answer),
        *parts.services(answer, options.services),
        *parts.processes(answer, options.processes),
    ]
    files, logs = wanted_files(options.files), wanted_logs(options.logs)
    if files or logs:
        told += _by_sftp(session, files, logs, read, parts.clock(answer) or time.time(), deadline)
    troubles = [one for one in told if isinstance(one, str)]
    failure = None
    if troubles:
        more = f", and {len(troubles) - TROUBLES} more" if len(troubles) > TROUBLES else ""
        failure = Failure(FailureKind.REFUSED, clean("; ".join(troubles[:TROUBLES]) + more, 500) + ".")
    return Reading(
        tuple(one for one in told if isinstance(one, Measure)),
        tuple(one for one in told if isinstance(one, Fact)),
        failure,
    )


def _by_sftp(
    session: Session, files: tuple[File, ...], logs: tuple[Log, ...], read: _Read, now: float, deadline: Deadline
) -> list[Measure | Fact | str]:
    told: list[Measure | Fact | str] = []
    try:
        with session.files(deadline) as opened:
            for file in files:
                told += _tried(file.label, file.directory, _newest(opened, file, now))
            for log in logs:
                told += _tried(log.label, log.path, _matches(opened, log, read))
    except Unoffered as none:
        told.append(f"files cannot be looked at, because the machine offers no SFTP ({none})")
    return told


def _tried(label: str, path: str, work: Iterator[Measure | Fact | str]) -> list[Measure | Fact | str]:
    try:
        return list(work)
    except Unreadable as error:
        return [f"{label}: {path} cannot be read, {error}"]


def _newest(opened: Files, file: File, now: float) -> Iterator[Measure | Fact | str]:
    """The newest file of the pattern by its time of change, and how many there are."""
    newest: Entry | None = None
    count = 0
    for at, entry in enumerate(opened.entries(file.directory)):
        if at >= ENTRIES:
            raise Unreadable(f"it holds more than {ENTRIES} entries; keep these files in a place of their own")
        if entry.mode is not None and not stat.S_ISREG(entry.mode):
            continue
        if fnmatch.fnmatchcase(entry.name.decode("utf-8", "replace"), file.pattern):
            count += 1
            if newest is None or entry.changed > newest.changed:
                newest = entry
    yield Measure("file.count", float(count), of=file.label)
    if newest is None:
        yield f"{file.label}: nothing in {file.directory} is named {file.pattern}"
        return
    name, age = clean(newest.name), max(0.0, now - newest.changed)
    yield Measure("file.newest.age", age, "s", file.label)
    yield Measure("file.newest.size", float(newest.size), "By", file.label)
    yield Fact("file.newest.name", name, file.label)
    if file.within is not None and age > file.within:
        yield f"{file.label}: the newest file is {_span(age)} old, more than {_span(file.within)}"
    elif not newest.size:
        yield f"{file.label}: the newest file, {clean(name, 60)}, is empty"


def _matches(opened: Files, log: Log, read: _Read) -> Iterator[Measure | Fact | str]:
    """Lines with the words since the last look; from the first on, what is new is counted. A log that shrank is new.

    A line still being written counts when it is whole.
    """
    size = opened.stat(log.path).size
    key = f"{log.label}\0{log.path}"
    before = read.sizes.get(key)
    if before is None:
        read.sizes[key] = size
        yield Measure("log.matches", 0.0, of=log.label)
        return
    start = max(before if size >= before else 0, size - TAIL)
    text = opened.read(log.path, start, size - start) if size > start else b""
    whole = text.rfind(b"\n") + 1
    if whole or len(text) < TAIL:
        text = text[:whole]
    read.sizes[key] = start + len(text)
    lines = [line for line in text.split(b"\n") if log.words in line]
    yield Measure("log.matches", float(len(lines)), of=log.label)
    if lines:
        yield Fact("log.last", clean(lines[-1]), log.label)


def _span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"


PROBE = Probe(
    kind="ssh_parts",
    label="Unix over SSH: services, containers, files",
    look=look,
    options=Options,
    produces=(
        *parts.PRODUCES,
        Produces("file.newest.age", "s", "Age of the newest file", "file"),
        Produces("file.newest.size", "By", "Size of the newest file", "file"),
        Produces("file.count", "1", "Files of the pattern", "file"),
        Produces("log.matches", "1", "New lines with the words", "log"),
    ),
    secret=True,
    credentials=("password", "ssh_key"),
    reachability=False,
    port=22,
)
