"""Mutated answers for the WinRM decoder, and for what is made of them: nothing may escape, nothing wrong be accepted.

    python -m tests.fuzz.winrm [--count 1000000] [--start 0] [--keep DIRECTORY]

Input N depends on N alone (but for the keys of those that are sealed), so a run can go on where another stopped and
every finding can be repeated with `--start N --count 1`. The seeds lie in tests/fuzz/seeds/winrm (synthetic); inputs that broke something are written to
the directory of `--keep` and belong among the seeds once mended.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import spnego
import spnego.exceptions
from requests_ntlm.requests_ntlm import ShimSessionSecurity
from winrm.encryption import Encryption

from domain.reading import Fact, Measure
from probes.winrm import answer, often, roles, seldom, system
from probes.winrm.answer import Fault, NotAnAnswer, Row
from probes.winrm.envelope import Query
from probes.winrm.line import HungUp, Stop
from probes.winrm.memory import Ask, Memory, Unanswered
from probes.winrm.session import meaning

SEEDS = Path(__file__).parent / "seeds" / "winrm"
ASKED = "uuid:00000000-0000-4000-8000-000000000001"
OTHER = "uuid:FFFFFFFF-0000-4000-8000-00000000000F"
WORDS = (
    b"<!DOCTYPE a>", b'<!ENTITY a "b">', b"]]>", b"<![CDATA[x]]>", b"<!--", b"<?x?>", b"\x00", b"\xff\xfe", b"\xed\xa0\x80",
    b"&#x110000;", b"&#0;", b"&b;", b"&amp;" * 40, b"</", b"/>", b"<a>" * 60, b' xsi:nil="true"', b"18446744073709551616",
    b"-1", b"1e400", b"NaN", b"9" * 400, b"0", b"<n:EnumerationContext>x</n:EnumerationContext>", b"<w:EndOfSequence/>",
    b"2026-13-40T99:99:99.9Z", b"20261121070000.000000+999", b"0001-01-01T00:00:00+14:00", b"\xe2\x80\xae", b"_Total", b"Name",
    b"<a:RelatesTo>" + OTHER.encode() + b"</a:RelatesTo>", b"<s:Fault>", b"</s:Body>", b'xmlns="x"', b"xmlns:p=''",
)  # fmt: skip
READERS: tuple[Callable[[bytes, str], Any], ...] = (
    answer.page,
    lambda data, asked: answer.output(data, asked, "EnumKey"),
    lambda data, asked: answer.output(data, asked, "GetStringValue"),
    answer.released,
    answer.fault,
)
PARTS: tuple[Callable[[Ask], Iterator[Measure | Fact]], ...] = (
    system.operating_system, system.processors, system.disks, system.network, often.file_systems, often.scheduling,
    often.sessions, roles.iis, roles.sql_server, roles.hyper_v, seldom.inventory, seldom.roles, seldom.pending_restart,
    lambda ask: often.services(ask, ("x*",)),
    lambda ask: often.processes(ask, ("sqlservr", "w3wp.exe")),
    lambda ask: often.event_logs(ask, ("System",)),
)  # fmt: skip
TABLES = {"Win32_OperatingSystem": "os", "Win32_LogicalDisk": "drives", "Win32_Volume": "volumes", "Win32_Service": "services",
          "PerfOS_Processor": "cpu", "PerfOS_Memory": "memory", "PerfDisk": "disk", "Tcpip": "net", "PerfProc": "proc",
          "Msvm": "guests", "W3SVC": "sites", "TerminalServices": "sessions"}  # fmt: skip

PURE = spnego.NegotiateOptions.use_ntlm
CHALLENGE = bytes.fromhex(
    "4e544c4d53535000020000000e000e003800000035828ae2e13493a70459ed4e00000000000000004e004e0046000000"
    "000c04000000000f530059004e00540048003000310001000e00530059004e0054004800300031000200160057004f00"
    "52004b00530054004100540049004f004e0003000e00730079006e0074006800300031000700080054f3bb1d9579dd01"
    "00000000"
)
"""Of a synthetic machine called SYNTH01 (MS-NLMP 2.2.1.2)."""
_INVISIBLE = re.compile(rb"<\?.*?\?>|<!--.*?-->|<!\[CDATA\[|\]\]>", re.DOTALL)
"""What XML lets stand in the middle of a text without being part of it."""


class Wrong(Exception):
    """Something was accepted that should not have been."""


class Machine:
    """Answers every question with a mutated page; stands where a Session stands."""

    def __init__(self, seeds: dict[str, bytes], dice: random.Random) -> None:
        self._seeds, self._dice = seeds, dice

    def select(self, query: Query) -> list[Row]:
        name = next(
            (seed for word, seed in TABLES.items() if word in query.table), self._dice.choice(sorted(TABLES.values()))
        )
        data = self._seeds[f"page-{name}"]
        for _ in range(2):
            try:
                return list(answer.page(numbers(data, self._dice), ASKED).rows)
            except (NotAnAnswer, Fault):
                data = self._seeds[f"page-{name}"]
        raise Fault(1, None, "s:Sender", "", "")

    def invoke(self, namespace: str, table: str, method: str, values: Any) -> Row:
        try:
            return answer.output(mutated(self._seeds["output-key"], self._seeds, self._dice), ASKED, "EnumKey")
        except NotAnAnswer:
            return Row(ReturnValue="0", sValue="x")


def mutated(data: bytes, seeds: dict[str, bytes], dice: random.Random) -> bytes:
    """`data` with one to six wounds."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        at = dice.randrange(len(made) + 1)
        kind = dice.randrange(8)
        if kind == 0 and made:
            made[at % len(made)] = dice.randrange(256)
        elif kind == 1:
            made[at:at] = dice.choice(WORDS)
        elif kind == 2:
            del made[at : at + dice.choice((1, 4, 20, 200))]
        elif kind == 3:
            made[at:at] = made[at : at + dice.choice((1, 10, 100))]
        elif kind == 4:
            other = seeds[dice.choice(sorted(seeds))]
            start = dice.randrange(len(other))
            made[at:at] = other[start : start + dice.choice((10, 100, 500))]
        elif kind == 5:
            del made[at:]
        elif kind == 6:
            found = [m.span() for m in re.finditer(rb"\d+", made)]
            if found:
                start, end = dice.choice(found)
                made[start:end] = dice.choice((b"", b"-5", b"1" * 21, b"18446744073709551615", b"1.5", b"0", b"x"))
        else:
            found = [m.span() for m in re.finditer(rb"</?[\w:]+", made)]
            if found:
                start, end = dice.choice(found)
                made[start:end] = dice.choice((b"", b"<a", b"</a", b"<s:Body", b"<n:Items", b"<w:Items"))
    return bytes(made)


def numbers(data: bytes, dice: random.Random) -> bytes:
    """`data` with other numbers and texts in its values: still an answer, of a machine that lies."""

    def lie(found: re.Match[bytes]) -> bytes:
        if dice.random() < 0.6:
            return found[0]
        number = str(dice.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64, dice.randrange(10**18)))).encode()
        return b">" + dice.choice((number, number, b"", b"-1", b"NaN", b"1e9", b"\xc2\xa0", b"_Total", b"0")) + b"<"

    return re.sub(rb">[^<>]{1,40}<(?=/[A-Z])", lie, data)


def sealed_pair() -> tuple[Any, Any]:
    """Both ends of an NTLM login in one process, for sealing and unsealing."""
    with tempfile.NamedTemporaryFile("w", suffix=".users") as file:
        file.write(":fuzz:secret\n")
        file.flush()
        os.environ["NTLM_USER_FILE"] = file.name
        ntlm = {"protocol": "ntlm", "options": PURE}
        client = spnego.client("fuzz", "secret", hostname="h", service="http", **ntlm)  # type: ignore[arg-type]
        server = spnego.server(**ntlm)  # type: ignore[arg-type]
        server.step(client.step(server.step(client.step())))
    return client, server


def one(number: int, seeds: dict[str, bytes], pair: list[Any]) -> str:
    """Input `number`; a word for what became of it. Raises whatever should not have happened."""
    dice = random.Random(number)
    chance = dice.random()
    if chance < 0.02:
        return measured(seeds, dice)
    if chance < 0.04:
        return unsealed(seeds, dice, pair)
    if chance < 0.05:
        return challenged(seeds, dice)
    name = dice.choice(sorted(seeds))
    data = mutated(seeds[name], seeds, dice)
    return decoded(data, dice)


def decoded(data: bytes, dice: random.Random) -> str:
    """One message before every reader, for the request it answers and for another one."""
    outcome = "refused"
    for reader in READERS:
        try:
            found = reader(data, ASKED)
        except NotAnAnswer as no:
            if not str(no):
                raise Wrong("refused without a reason") from None
            continue
        except Fault:
            outcome = "fault"
            continue
        outcome = "read"
        if isinstance(found, answer.Page | Row):
            if ASKED.lower().encode() not in _INVISIBLE.sub(b"", data).lower():
                raise Wrong("an answer to nothing we asked was accepted")
            for row in found.rows if isinstance(found, answer.Page) else (found,):
                tried(row)
    for reader in READERS[:4]:
        try:
            reader(data, OTHER)
        except (NotAnAnswer, Fault):
            continue
        if OTHER.encode().lower() not in data.lower():
            raise Wrong("accepted for another request than its own")
    with contextlib.suppress(NotAnAnswer, Fault):
        tried(answer.identity(data))
    return outcome


def tried(row: Row) -> None:
    """Every reader of a row on every property."""
    for name in row:
        whole, text, moment = row.whole(name), row.text(name), row.moment(name)
        if whole is not None and not 0 <= whole <= answer.LARGEST:
            raise Wrong(f"{whole} is no number of WMI")
        if len(text) > 256 or any(ord(c) < 32 for c in text):
            raise Wrong("a text was not made harmless")
        if moment is not None and moment.tzinfo is None:
            raise Wrong("a moment without a zone")
        row.many(name)


def measured(seeds: dict[str, bytes], dice: random.Random) -> str:
    """Everything that is made of rows, from a machine that lies, twice over."""
    memory = Memory()
    memory.instances = ("MSSQLSERVER", "MSSQL$A")
    for _ in range(2):
        ask = Ask(Machine(seeds, dice), memory)  # type: ignore[arg-type]
        for part in PARTS:
            try:
                found = list(part(ask))
            except (Unanswered, Fault):
                continue
            for one in found:
                if isinstance(one, Measure) and not math.isfinite(one.value):
                    raise Wrong(f"{one.name} is {one.value}")
                if isinstance(one, Measure) and one.name.endswith(".utilization") and not 0 <= one.value <= 1:
                    raise Wrong(f"{one.name} is {one.value}")
                if isinstance(one, Fact) and any(ord(c) < 32 for c in one.value):
                    raise Wrong(f"{one.name} is not harmless")
    return "measured"


def unsealed(seeds: dict[str, bytes], dice: random.Random, pair: list[Any]) -> str:
    """A sealed answer with wounds, through pywinrm's own unsealing: whatever it raises has a meaning."""
    client, server = pair[0]
    plain = seeds[dice.choice(sorted(seeds))]
    made = server.wrap_winrm(plain)
    kind = b"application/HTTP-SPNEGO-session-encrypted"
    body = (
        b"--Encrypted Boundary\r\n\tContent-Type: " + kind + b"\r\n\tOriginalContent: type=application/soap+xml;"
        b"charset=UTF-8;Length=%d\r\n--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n" % len(plain)
        + b"\x10\0\0\0" + made.header + made.data + b"--Encrypted Boundary--\r\n"
    )  # fmt: skip
    response = requests.Response()
    response._content, response.request = (
        mutated(body, seeds, dice),
        requests.Request("POST", "http://h/wsman").prepare(),
    )
    response.headers["Content-Type"] = f'multipart/encrypted;protocol="{kind.decode()}";boundary="Encrypted Boundary"'
    session = requests.Session()
    session.auth = type("Auth", (), {"session_security": ShimSessionSecurity(client)})()  # type: ignore[assignment]
    try:
        found = Encryption(session, "ntlm").parse_encrypted_response(response)
    except Exception as error:
        pair[0] = sealed_pair()  # the two ends count differently now
        if not isinstance(meaning(error, None, "user"), Stop | HungUp):
            raise
        return "unsealing refused"
    if found not in (plain, b""):  # nothing at all is unsealed to nothing, which no reader takes for an answer
        raise Wrong("a broken seal was accepted")
    decoded(found, dice)
    return "unsealed"


def challenged(seeds: dict[str, bytes], dice: random.Random) -> str:
    """An NTLM challenge with wounds, before a client that logs in."""
    client = spnego.client("fuzz", "secret", hostname="h", service="http", protocol="ntlm", options=PURE)
    client.step()
    try:
        client.step(mutated(CHALLENGE, seeds, dice))
    except Exception as error:
        if not isinstance(meaning(error, None, "user"), Stop | HungUp):
            raise
        return "challenge refused"
    return "challenged"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    asked = parser.parse_args()
    seeds = {path.stem: path.read_bytes() for path in sorted(SEEDS.glob("*.xml"))}
    outcomes: Counter[str] = Counter()
    began, pair, broken = time.monotonic(), [sealed_pair()], 0
    for number in range(asked.start, asked.start + asked.count):
        try:
            outcomes[one(number, seeds, pair)] += 1
        except Exception as error:  # noqa: BLE001 - the border of one input
            broken += 1
            asked.keep.mkdir(exist_ok=True)
            (asked.keep / f"winrm-{number}.txt").write_text(f"{type(error).__name__}: {error}\n")
            print(f"input {number}: {type(error).__name__}: {error}", flush=True)
        if (number + 1 - asked.start) % 100_000 == 0:
            print(f"{number + 1 - asked.start} inputs, {time.monotonic() - began:.0f} s, {dict(outcomes)}", flush=True)
    print(f"{asked.count} inputs from {asked.start}: {broken} broke something; {dict(outcomes)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
