"""A guest is restarted by its Proxmox VE: one order to the API, its task followed to the end, and the proof.

The API (pve.proxmox.com/pve-docs/api-viewer) restarts a guest by shutting it down and starting it again, so its time since
the start begins anew.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from domain.reading import FailureKind
from probes import line
from probes.acting import WHOLE, LoginRefused, NotDone, Order, Unit, Unsure, Way, begun
from probes.base import Keep
from probes.http.wire import Stop, Wire, session
from probes.limits import Deadline, Guard, clean, number
from probes.proxmox.client import Api, Row, Withheld
from probes.proxmox.measures import guest_name

if TYPE_CHECKING:
    from probes.proxmox import Options

PATIENCE = 60
"""Seconds Proxmox waits for the guest to shut down."""
FOLLOWED = PATIENCE + 10.0
"""Seconds a task is followed; what it does later shows itself."""
PAUSE = 1.0
TOKEN = re.compile(r"[^\s:/!@=]+@[^\s:/!@=]+![^\s:/!@=]+")
_NO = (403, 404, 500, 501)
"""What Proxmox answers where it did not do it. 595 and 596: another node did not answer, and may have."""


class Hand:
    """A token to act by (probes/acting.py)."""

    def __init__(self, api: Api, wire: Wire) -> None:
        self._api, self._wire = api, wire

    def start(self, order: Order) -> str:
        """When the guest was started. Raises NotDone where it does not run."""
        row = self._guest(order)
        seconds = number(row.get("uptime"), 0)
        if row.get("status") != "running" or seconds is None:
            raise NotDone(f"The guest {order.about} does not run.")
        return begun(seconds)

    def unit(self, service: str) -> Unit:
        """Services are none of a hypervisor's business: raises NotDone."""
        raise NotDone("Proxmox does not know the services of its guests.")

    def parts(self, order: Order) -> tuple[str, ...]:
        """One order, where nothing holds the guest. Raises NotDone."""
        lock = self._guest(order).get("lock")
        if lock:
            raise NotDone(
                f"Proxmox is busy with the guest {order.about} ({clean(str(lock), 40)}): wait until it is done."
            )
        return (WHOLE,)

    def down(self, order: Order) -> bool:
        """Nothing is stopped here to be started by another order."""
        return False

    def send(self, order: Order, part: str) -> None:
        """Post the order and follow its task. Raises NotDone where Proxmox refused or failed, Unsure where nobody knows."""
        node, *where = self._where(order)
        before = self._wire.meter.sent
        try:
            task = self._api.order("nodes", node, *where, "status", "reboot", timeout=PATIENCE)
        except Withheld as no:
            if no.status not in _NO:
                raise Unsure(
                    f"The order had been sent, and Proxmox does not know what became of it ({no.status})."
                ) from None
            raise NotDone(_no(no)) from None
        except Stop as stop:
            if self._wire.meter.sent == before or stop.failure.kind is FailureKind.DENIED:
                raise _why(stop) from None
            detail = stop.failure.detail.rstrip(".")
            raise Unsure(f"The line to Proxmox was lost after the order had been sent ({detail}).") from None
        if task:
            self._follow(node, task)

    def script(self, text: str, values: Sequence[str]) -> str:
        """Nothing is run on a hypervisor: raises NotDone."""
        raise NotDone("Runbooks are run by SSH, and not by Proxmox.")

    def _follow(self, node: str, task: str) -> None:
        """Wait for the task's end, as long as that makes sense: that it cannot be asked is no matter, the proof decides."""
        end = time.monotonic() + FOLLOWED
        while time.monotonic() < end:
            try:
                told = self._api.row("nodes", node, "tasks", task, "status")
            except (Stop, Withheld):
                return
            if told.get("status") == "stopped":
                said = clean(str(told.get("exitstatus") or ""), 200)
                if said.startswith(("OK", "WARNINGS")):
                    return
                if "timeout" in said:
                    raise Unsure(
                        f"The guest did not shut down in time ({said}), and may still be on its way. Look at it."
                    )
                raise NotDone(f"Proxmox did not do it: {said or 'it gave no reason'}.")
            time.sleep(PAUSE)

    def _guest(self, order: Order) -> Row:
        return self._ask("nodes", *self._where(order), "status", "current")

    def _where(self, order: Order) -> tuple[str, str, str]:
        """Node, kind and number of the guest, as they are now: it may have moved. Raises NotDone."""
        try:
            rows = self._api.rows("cluster", "resources", type="vm")
        except Withheld as no:
            raise NotDone(_no(no)) from None
        except Stop as stop:
            raise _why(stop) from None
        for row in rows:
            if (
                row.get("type") in ("qemu", "lxc")
                and guest_name(row) == order.about
                and not number(row.get("template"))
            ):
                return str(row.get("node")), str(row["type"]), str(row.get("vmid"))
        raise NotDone(f"Proxmox does not know a guest {order.about}, or does not show it to this token.")

    def _ask(self, *path: str) -> Row:
        try:
            return self._api.row(*path)
        except Withheld as no:
            raise NotDone(_no(no)) from None
        except Stop as stop:
            raise _why(stop) from None


@contextlib.contextmanager
def hand(way: Way, seconds: float) -> Iterator[Hand]:
    """A token to act by for so long. Raises NotDone with what stands in the way."""
    options: Options = way.options
    if not TOKEN.fullmatch(way.secret.username):
        raise NotDone(
            "The login for actions is no token: its user name is like pantau@pve!restart, its password the secret."
        )
    if not options.verify:
        raise NotDone("The certificate of this Proxmox is not verified; nothing is done there before it is. Set `ca`.")
    deadline, keep = Deadline(seconds), Keep()
    try:
        with Guard(deadline) as guard:
            try:
                wire = line.to(way.address, keep, deadline, guard, options.family, options.name)
            except Stop as stop:
                raise _why(stop) from None
            wire.context = line.context(keep, options.verify, options.ca)
            with session(wire) as connected:
                yield Hand(Api(connected, wire, options.origin(way.address), way.secret), wire)
    finally:
        keep.close()


def _why(stop: Stop) -> NotDone:
    wrong = stop.failure.kind is FailureKind.DENIED
    return (LoginRefused if wrong else NotDone)(stop.failure.detail)


def _no(no: Withheld) -> str:
    if no.status == 403:
        return "The token may not do this: give it VM.Audit and VM.PowerMgmt on the guest, as the page “Actions” shows."
    return f"Proxmox did not do it ({no.status}): {str(no) or 'it gave no reason'}."
