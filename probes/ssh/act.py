"""An action on a Linux machine: a session of its own with the login for actions, one constant command, and the proof.

Nothing is kept and nothing is repeated here: whoever calls has said beforehand, on the record, that the order leaves now.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

from domain.orders import WORD
from domain.reading import FailureKind
from probes import names
from probes.acting import WHOLE, LoginRefused, NotDone, Order, Unit, Unsure, Way
from probes.base import Keep
from probes.limits import Deadline, Guard, TooLate, TooMuch, clean
from probes.ssh import orders
from probes.ssh.files import Broken
from probes.ssh.session import Refused, Session, connect

SAID = 2000
"""Characters of what a command said that are kept."""
_RUNS = {"active": True, "inactive": False, "failed": False}
"""ActiveState; what is not here is in between."""
_BOOT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Hand:
    """A session to act by (probes/acting.py)."""

    def __init__(self, session: Session, deadline: Deadline) -> None:
        self._session, self._deadline = session, deadline

    def start(self, order: Order) -> str:
        """The boot id of the kernel: another one is another start of the machine (random(4)). Raises NotDone."""
        found = self._ask(orders.BOOT)
        if not _BOOT.fullmatch(found):
            raise NotDone("The machine does not tell which start of itself it is, so it could not be shown afterwards.")
        return found

    def unit(self, service: str) -> Unit:
        """How a service stands. Raises NotDone."""
        told = dict(line.split("=", 1) for line in self._ask(orders.state(service)).splitlines() if "=" in line)
        if "ActiveState" not in told:
            raise NotDone("systemd did not answer on this machine.")
        state, process = told["ActiveState"], told.get("MainPID", "")
        mark = f"{told.get('ActiveEnterTimestampMonotonic', '')} {process}"
        return Unit(f"{state} {process}".strip(), _RUNS.get(state), mark)

    def parts(self, order: Order) -> tuple[str, ...]:
        """Every order is one command."""
        return (WHOLE,)

    def down(self, order: Order) -> bool:
        """Nothing is stopped here to be started by another command."""
        return False

    def send(self, order: Order, part: str) -> None:
        """Run the command. Raises NotDone where the machine refused, Unsure where nobody knows."""
        self._send(
            f"sudo -n {orders.command(order.kind, order.about)}", b"", broken_is_fine=order.kind == "host.restart"
        )

    def script(self, text: str, values: Sequence[str]) -> str:
        """Run a runbook's script with its parameters: what it said. Raises NotDone, Unsure."""
        if not all(WORD.fullmatch(value) for value in values):
            raise NotDone("A parameter is no plain word.")
        return self._send(" ".join(("sh -s --", *values)), text.encode() + b"\n", broken_is_fine=False)

    def _send(self, command: str, stdin: bytes, *, broken_is_fine: bool) -> str:
        try:
            with Guard(self._deadline) as guard:
                guard.hold(self._session.line)
                status, said = self._session.run(command, self._deadline, stdin)
        except (Broken, TooLate, TooMuch) as error:
            if broken_is_fine:
                return ""
            raise Unsure(
                f"The line to the machine was lost after the order had been sent ({clean(str(error), 120)})."
            ) from None
        text = clean(said.decode("utf-8", "replace"), SAID, lines=True)
        if status == -1 and not broken_is_fine:
            raise Unsure("The machine ended the line before it said how it went.")
        if status > 0:
            raise NotDone(f"The machine refused, or the command failed ({status}): {text or 'it gave no reason'}")
        return text

    def _ask(self, command: str) -> str:
        try:
            with Guard(self._deadline) as guard:
                guard.hold(self._session.line)
                status, said = self._session.run(command, self._deadline)
        except (Broken, TooLate, TooMuch) as error:
            raise NotDone(f"The machine did not answer: {clean(str(error), 200)}.") from None
        if status != 0:
            raise NotDone(
                f"The machine did not answer a question about itself: {clean(said.decode('utf-8', 'replace'), 200)}"
            )
        return said.decode("utf-8", "replace").strip()


@contextlib.contextmanager
def hand(way: Way, seconds: float) -> Iterator[Hand]:
    """A session of its own for so long. Raises NotDone with what stands in the way."""
    deadline, keep, trusted = Deadline(seconds), Keep(), way.options.host_keys
    if not trusted:
        raise NotDone("No host key of this machine is trusted yet: have it looked at by SSH first.")
    try:
        place = names.of(keep).find(way.address, deadline.remaining())[0]
        session = connect(place, way.options.port, way.secret, trusted, deadline)
    except Refused as refused:
        wrong = refused.failure.kind is FailureKind.DENIED
        raise (LoginRefused if wrong else NotDone)(refused.failure.detail) from None
    except names.Unresolved as unknown:
        failure = unknown.reading().failure
        raise NotDone(failure.detail if failure else "Its name is not known.") from None
    except (TooLate, TooMuch, Broken) as error:
        raise NotDone(f"The machine cannot be reached by SSH: {clean(str(error), 200)}.") from None
    finally:
        keep.close()
    try:
        yield Hand(session, deadline)
    finally:
        session.close()
