"""What one asks of a device: some objects, the next ones, whole tables; in as few messages as it takes.

Agents err in many ways; each way costs the objects it hits and no others: an error names one object, which
is left out; tooBig halves the message; a name that does not increase ends its column (RFC 3416, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from probes.limits import Deadline, Meter
from probes.names import Place
from probes.snmp import ber, usm
from probes.snmp.ber import ABSENT, Binding, Malformed, Value
from probes.snmp.engine import Engine, Silent
from probes.snmp.message import ERRORS, GET, GET_BULK, GET_NEXT, NO_SUCH_NAME, REPORT, TOO_BIG, V1, Pdu
from probes.snmp.voice import Community, Known, Voice

PAGE = 50
"""Bindings asked for in one message: about what one Ethernet frame carries."""
ROWS = 4096
"""The most rows of one table."""
_AUTHORIZATION = 16
NO_ACCESS = -1
"""Why a request is Rejected besides usm's reasons: the community or user may not read this."""

Row = dict[str, int | float | bytes | None]
Rows = dict[tuple[int, ...], Row]


class Rejected(Exception):
    """The engine reported why it does not answer this user: one of usm's reasons, or 0."""

    def __init__(self, why: int) -> None:
        super().__init__(why)
        self.why = why


class Nonsense(Exception):
    """The agent answers what was not asked; the text says how."""


@dataclass(slots=True)
class Manners:
    """What is known of how one agent behaves; kept between looks."""

    page: int = PAGE
    rows: dict[bytes, int] = field(default_factory=dict)
    """Rows of each table last time, by its first column."""


class Session:
    """One look's conversation with one agent, under one deadline."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        port: int,
        voice: Voice,
        deadline: Deadline,
        meter: Meter,
        manners: Manners | None = None,
    ) -> None:
        self._engine = engine
        self._place = place
        self._port = port
        self._voice = voice
        self._deadline = deadline
        self._meter = meter
        self.manners = manners or Manners()
        self.troubles: dict[str, str] = {}
        """Objects left out because the agent erred: dotted name and what it said."""

    async def get(self, names: Sequence[bytes]) -> dict[bytes, Value]:
        """The objects of these names that the agent has."""
        found: dict[bytes, Value] = {}
        waiting = list(names)
        while waiting:
            asked = waiting[: self.manners.page]
            answer = await self.ask(GET, asked)
            if self._spare(answer, asked, waiting):
                continue
            if [name for name, _, _ in answer.bindings] != asked:
                raise Nonsense("it answers with other objects than asked for")
            for name, tag, value in answer.bindings:
                if tag not in ABSENT:
                    found[name] = (tag, value)
            del waiting[: len(asked)]
        return found

    async def offered(self, prefixes: Sequence[bytes]) -> set[bytes]:
        """Those of these subtrees that hold anything."""
        found: set[bytes] = set()
        waiting = list(prefixes)
        while waiting:
            asked = waiting[: self.manners.page]
            answer = await self.ask(GET_NEXT, asked)
            if self._spare(answer, asked, waiting):
                continue
            for prefix, (name, tag, _) in zip(asked, answer.bindings, strict=False):
                if tag not in ABSENT and name.startswith(prefix):
                    found.add(prefix)
            del waiting[: len(asked)]
        return found

    async def table(self, columns: dict[str, bytes], limit: int = ROWS) -> Rows:
        """The rows of a table by their index, with those cells the agent has."""
        rows: Rows = {}
        first = next(iter(columns.values()))
        keys = {name: key for key, name in columns.items()}
        at = {name: name for name in keys}
        last: dict[bytes, tuple[int, ...]] = dict.fromkeys(keys, ())
        expected = self.manners.rows.get(first, 0)
        while at:
            active = list(at)
            many = max(1, self.manners.page // len(active))
            bindings = await self._after([at[name] for name in active], active, at, min(expected + 1, many))
            if bindings is None:
                continue
            advanced = False
            for i, (name, tag, value) in enumerate(bindings):
                column = active[i % len(active)]
                if column not in at:
                    continue
                if tag in ABSENT or not name.startswith(column) or len(name) == len(column):
                    del at[column]
                    continue
                index = ber.parts(name[len(column) :])
                if index <= last[column]:
                    self.troubles[ber.dotted(column)] = "its rows do not increase"
                    del at[column]
                    continue
                last[column], at[column], advanced = index, name, True
                if (row := rows.get(index)) is None:
                    if len(rows) >= limit:
                        self.troubles[ber.dotted(column)] = f"more than {limit} rows"
                        del at[column]
                        continue
                    row = rows[index] = {}
                row[keys[column]] = value
            if not advanced and len(at) == len(active):
                break  # an empty page, which says nothing of where to go on
            expected = max(expected, many - 1)  # longer than last time: pages of full size from here
        self.manners.rows[first] = len(rows)
        return rows

    async def _after(
        self, names: list[bytes], columns: list[bytes], at: dict[bytes, bytes], many: int
    ) -> list[Binding] | None:
        """One page after `names`; None when the agent erred, with what to leave out taken from `at`."""
        if isinstance(self._voice, Community) and self._voice.version == V1:
            answer = await self.ask(GET_NEXT, names)
        else:
            answer = await self.ask(GET_BULK, names, 0, many)
        if not answer.status:
            return answer.bindings
        if answer.status == TOO_BIG:
            if self.manners.page > 1:
                self.manners.page = max(1, self.manners.page // 2)
                if many > 1 or len(columns) <= self.manners.page:
                    return None
            # Not even one row fits: the columns go one by one.
            found = [await self.ask(GET_NEXT, [name]) for name in names]
            return [
                one.bindings[0] if one.bindings and not one.status else (b"", ber.END_OF_VIEW, None) for one in found
            ]
        wrong = answer.at - 1 if 1 <= answer.at <= len(columns) else 0
        if answer.status != NO_SUCH_NAME:  # which in version 1 is how a table ends
            self.troubles[ber.dotted(columns[wrong])] = ERRORS.get(answer.status, f"error {answer.status}")
        del at[columns[wrong]]
        return None

    def _spare(self, answer: Pdu, asked: list[bytes], waiting: list[bytes]) -> bool:
        """Whether to ask again, after leaving out of `waiting` what the agent could not answer."""
        if not answer.status:
            return False
        if answer.status == TOO_BIG and len(asked) > 1:
            self.manners.page = max(1, len(asked) // 2)
            return True
        at = answer.at - 1
        if not 0 <= at < len(asked):
            if len(asked) > 1:  # it does not say which: find out by halves
                self.manners.page = max(1, len(asked) // 2)
                return True
            at = 0
        if answer.status != NO_SUCH_NAME:
            self.troubles[ber.dotted(asked[at])] = ERRORS.get(answer.status, f"error {answer.status}")
        waiting.remove(asked[at])
        return True

    def knows_engine(self) -> bool:
        """Whether the agent (of version 3) has said who it is."""
        return isinstance(self._voice, Known) and bool(self._voice.authority.engine)

    async def ask(self, kind: int, names: Sequence[bytes], first: int = 0, second: int = 0) -> Pdu:
        """One request and its answer; with version 3, after finding out which engine is there.

        Raises Silent, Blocked, Rejected, TooLate or TooMuch.
        """
        voice = self._voice
        if isinstance(voice, Known):
            answer = await self._as_user(voice, kind, names, first, second)
        else:
            answer = await self._once(voice, kind, names, first, second)
        if answer.status == _AUTHORIZATION:
            raise Rejected(NO_ACCESS)
        return answer

    async def _once(self, voice: Voice, kind: int, names: Sequence[bytes], first: int, second: int) -> Pdu:
        self._deadline.check()
        return await self._engine.ask(
            self._place, self._port, voice, kind, names, self._deadline.end, self._meter, first, second
        )

    async def _as_user(self, voice: Known, kind: int, names: Sequence[bytes], first: int, second: int) -> Pdu:
        """RFC 3414, section 4: discover the engine, then its clock; each at most twice."""
        for _ in range(4):
            if not voice.authority.engine:
                found = await self._once(voice, GET, (), 0, 0)
                hint = voice.hint
                if found.kind != REPORT or hint is None or hint.why != usm.UNKNOWN_ENGINE or len(hint.engine) < 5:
                    raise Rejected(hint.why if hint else 0)
                voice.learn(hint)
            found = await self._once(voice, kind, names, first, second)
            if found.kind != REPORT:
                return found
            hint = voice.hint
            if hint is not None and hint.why == usm.NOT_IN_WINDOW and hint.trusted:
                voice.learn(hint)
            elif hint is not None and hint.why in (usm.UNKNOWN_ENGINE, usm.NOT_IN_WINDOW):
                voice.forget()
            else:
                raise Rejected(hint.why if hint else 0)
        raise Rejected(usm.NOT_IN_WINDOW)


__all__ = ["Malformed", "Manners", "Nonsense", "Rejected", "Row", "Rows", "Session", "Silent"]
