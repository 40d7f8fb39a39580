"""A guest is restarted by its Hyper-V: asked to shut down as its integration service lets it be, and turned on once it is off.

Msvm_ShutdownComponent.InitiateShutdown and Msvm_ComputerSystem.RequestStateChange of root/virtualization/v2
(learn.microsoft.com, Hyper-V WMI provider).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from probes.acting import NotDone, Order, Unsure, begun
from probes.limits import clean
from probes.winrm import roles
from probes.winrm.answer import Row
from probes.winrm.envelope import Query, literal

NAMESPACE = "root/virtualization/v2"
OFF, RUNNING = roles.OFF, roles.RUNNING
NOTE = 200
_STARTED, _INVALID_STATE = 4096, 32775
_REFUSALS = {
    32769: "the account may not: it needs the group Hyper-V Administrators",
    32770: "the guest does not support it",
    32772: "the guest did not answer in time",
    32774: "the guest is in use: somebody works at it, or it is locked",
    _INVALID_STATE: "the guest is not in a state for it",
    32777: "the guest does not answer",
    32778: "there is not enough memory",
}
"""ReturnValue of both methods."""


class Asks(Protocol):
    """What a guest is asked through (probes/winrm/act.py)."""

    def select(self, query: Query) -> list[Row]:
        """All rows. Raises NotDone."""

    def order(
        self, namespace: str, table: str, method: str, values: Mapping[str, str | int], selectors: Mapping[str, str]
    ) -> Row:
        """What a method gave back. Raises NotDone, Unsure."""


def guest(asks: Asks, name: str) -> tuple[str, int, float]:
    """GUID, state and seconds since the start of a guest by the name Pantau has for it. Raises NotDone."""
    for known, guid, row in roles.guests(asks.select(roles.GUEST)):
        if known == name:
            return guid, row.whole("EnabledState") or 0, (row.whole("OnTimeInMilliseconds") or 0) / 1000
    raise NotDone(f"Hyper-V does not know a guest {name}, or does not show it to this account.")


def start(asks: Asks, name: str) -> str:
    """When a guest was started. Raises NotDone where it does not run."""
    _, state, seconds = guest(asks, name)
    if state != RUNNING:
        raise NotDone(f"The guest {name} does not run: it is {roles.STATES.get(state, 'in another state')}.")
    return begun(seconds)


def component(asks: Asks, guid: str) -> Mapping[str, str]:
    """The keys of what asks a guest to shut down. Raises NotDone where its integration service is not there."""
    keys = ("CreationClassName", "DeviceID", "SystemCreationClassName", "SystemName")
    where = f"SystemName={literal(guid)} and EnabledState={RUNNING}"
    rows = asks.select(Query("Msvm_ShutdownComponent", (*keys, "EnabledState"), where, NAMESPACE))
    if not rows:
        raise NotDone("The guest cannot be asked to shut down: its integration service for that does not run.")
    return {key: str(rows[0].get(key) or "") for key in keys}


def shut_down(asks: Asks, order: Order) -> None:
    """Ask the guest to shut down; programs in it are not killed. Raises NotDone, Unsure."""
    keys = component(asks, guest(asks, order.about)[0])
    given = {"Force": "false", "Reason": clean(order.note, NOTE)}
    _judge(asks.order(NAMESPACE, "Msvm_ShutdownComponent", "InitiateShutdown", given, keys))


def turn_on(asks: Asks, order: Order) -> None:
    """Turn it on; that somebody did so meanwhile is no matter. Raises NotDone, Unsure."""
    guid = guest(asks, order.about)[0]
    keys = {"CreationClassName": "Msvm_ComputerSystem", "Name": guid}
    given = {"RequestedState": RUNNING}
    _judge(asks.order(NAMESPACE, "Msvm_ComputerSystem", "RequestStateChange", given, keys), _INVALID_STATE)


def _judge(row: Row, *fine: int) -> None:
    number = row.whole("ReturnValue")
    if number is None:
        raise Unsure("The answer of Hyper-V does not tell whether it took the order.")
    if number not in (0, _STARTED, *fine):
        raise NotDone(f"Hyper-V did not do it ({number}): {_REFUSALS.get(number, 'it gave no other reason')}.")
