"""An action on a Windows machine: a login of its own, methods of WMI posted once each, and the proof. No shell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from domain.reading import FailureKind
from probes import names
from probes.acting import START, STOP, WHOLE, LoginRefused, NotDone, Order, Unit, Unsure, Way
from probes.base import Keep
from probes.limits import Deadline, Guard, clean
from probes.tcp import ADDRESSES
from probes.winrm import guests, orders
from probes.winrm.answer import Fault, Row
from probes.winrm.envelope import CIMV2, Query, literal
from probes.winrm.line import HungUp, Login, NoTls, Stop, WrongLogin, shown_text, trust
from probes.winrm.session import TIMED_OUT, Session, is_denied, meaning

if TYPE_CHECKING:
    from probes.winrm import Options

NOTE = 200
"""Characters of the words for the machine's own log (event 1074)."""
_OS = Query("Win32_OperatingSystem", ("LastBootUpTime",))
_RUNS = {"Running": True, "Stopped": False}
"""State of Win32_Service; what is not here is in between."""


class Hand:
    """A login to act by (probes/acting.py). After a part was sent nothing more is sent through it."""

    def __init__(self, session: Session, user: str) -> None:
        self._session, self._user = session, user

    def start(self, order: Order) -> str:
        """LastBootUpTime, or since when a guest runs. Raises NotDone."""
        if order.kind == "vm.restart":
            return guests.start(self, order.about)
        rows = self.select(_OS)
        booted = rows[0].moment("LastBootUpTime") if rows else None
        if booted is None:
            raise NotDone("The machine does not tell which start of itself it is, so it could not be shown afterwards.")
        return booted.isoformat(timespec="seconds")

    def unit(self, service: str) -> Unit:
        """State and process of a service. Raises NotDone."""
        rows = self.select(Query("Win32_Service", ("Name", "State", "ProcessId"), f"Name={literal(service)}"))
        if not rows:
            raise NotDone(f"There is no service {service} there, or the account may not see it.")
        state, process = rows[0].text("State", 40), rows[0].whole("ProcessId") or 0
        return Unit(f"{state} {process or ''}".strip(), _RUNS.get(state), str(process))

    def parts(self, order: Order) -> tuple[str, ...]:
        """Windows knows no restart of a service, nor Hyper-V one of a guest that is asked: it is a stop, and a start once it
        has stopped."""
        if order.kind == "vm.restart":
            guests.component(
                self, guests.guest(self, order.about)[0]
            )  # raises where its shutting down cannot be asked for
            return (STOP, START)
        if order.kind == "service.restart" and self.unit(order.about).runs is not False:
            return (STOP, START)
        return (WHOLE,)

    def down(self, order: Order) -> bool:
        """Whether the service, or the guest, has stopped. Raises NotDone."""
        if order.kind == "vm.restart":
            return guests.guest(self, order.about)[1] == guests.OFF
        return self.unit(order.about).runs is False

    def send(self, order: Order, part: str) -> None:
        """Invoke the method. Raises NotDone where the machine refused, Unsure where nobody knows."""
        if order.kind == "host.restart":
            self._restart(order)
            return
        if order.kind == "vm.restart":
            (guests.shut_down if part == STOP else guests.turn_on)(self, order)
            return
        stops = part == STOP or order.kind == "service.stop"
        row = self.order(
            CIMV2, "Win32_Service", "StopService" if stops else "StartService", {}, {"Name": order.about}
        )  # fmt: skip
        number = row.whole("ReturnValue")
        fine = {0, orders.LATE} | ({orders.RUNS_ALREADY} if part == START else set())
        if number not in fine:
            raise _refused(order.kind, number)

    def script(self, text: str, values: Sequence[str]) -> str:
        """Nothing is run here that is no method: raises NotDone."""
        raise NotDone("Runbooks are run by SSH, and not on a Windows machine.")

    def _restart(self, order: Order) -> None:
        row = self.order(
            CIMV2, "Win32_OperatingSystem", "Win32ShutdownTracker",
            {"Timeout": orders.DELAY, "Comment": clean(order.note, NOTE), "ReasonCode": orders.PLANNED, "Flags": orders.REBOOT},
            {},
        )  # fmt: skip
        if (number := row.whole("ReturnValue")) != 0:
            raise _refused(order.kind, number)

    def select(self, query: Query) -> list[Row]:
        """All rows of a query. Raises NotDone."""
        try:
            return self._session.select(query)
        except Exception as error:  # noqa: BLE001 - pywinrm and what it stands on raise whatever they like; told apart there
            raise _why(error, self._session, self._user) from None

    def order(
        self, namespace: str, table: str, method: str, values: Mapping[str, str | int], selectors: Mapping[str, str]
    ) -> Row:
        """What a method gave back. Raises NotDone where it never left or the machine refused it, Unsure where nobody knows."""
        line = self._session.line
        before = line.meter.sent
        try:
            return self._session.order(namespace, table, method, values, selectors)
        except Fault as fault:
            if fault.number == TIMED_OUT:
                raise Unsure("The machine took the order and did not say in time how it went.") from None
            raise NotDone(_fault(fault, self._user)) from None
        except Exception as error:  # noqa: BLE001 - as above
            why = _why(error, self._session, self._user)
            if line.meter.sent == before:
                raise why from None
            raise Unsure(
                f"The line to the machine was lost after the order had been sent ({clean(str(why), 200).rstrip('.')})."
            ) from None


@contextlib.contextmanager
def hand(way: Way, seconds: float) -> Iterator[Hand]:
    """A login of its own for so long. Raises NotDone with what stands in the way."""
    options: Options = way.options
    deadline, keep = Deadline(seconds), Keep()
    with Guard(deadline) as guard:
        try:
            places = names.of(keep).find(way.address, deadline.remaining())[:ADDRESSES]
            session = _session(way, options, places)
        except names.Unresolved as unknown:
            failure = unknown.reading().failure
            raise NotDone(failure.detail if failure else "Its name is not known.") from None
        except Stop as stop:
            raise NotDone(stop.failure.detail) from None
        finally:
            keep.close()
        try:
            session.begin(deadline, guard)
            _log_in(session, way.secret.username)
            yield Hand(session, way.secret.username)
        finally:
            session.close()


def _session(way: Way, options: Options, places: tuple[names.Place, ...]) -> Session:
    """By the rules of the looks (probes/winrm), and stricter in one: a certificate nobody trusts yet is not enough."""
    kerberos = options.login == "kerberos"
    if not kerberos and not (way.secret.username and way.secret.password):
        raise Stop(FailureKind.DENIED, "The login for actions has no user or no password: choose one that has.")
    tls = options.secure
    if tls is None:
        raise Stop(
            FailureKind.UNTRUSTED,
            "It is not known whether this machine speaks HTTPS: choose https or http in its check by WinRM.",
        )
    if tls and options.trust == "pinned" and not options.pins:
        raise Stop(
            FailureKind.UNTRUSTED, "No certificate of this machine is trusted yet: have it looked at by WinRM first."
        )
    context = trust(options.trust == "authority", options.ca) if tls else None
    host = way.address.strip().strip("[]").partition("%")[0]
    return Session(
        places, host, options.port, way.secret, cast(Login, options.login), context, options.pins, options.kerberos_host
    )


def _log_in(session: Session, user: str) -> None:
    try:
        session.log_in()
    except NoTls as no:
        raise NotDone(f"{no}: WinRM over HTTPS is not set up there.") from None
    except Exception as error:  # noqa: BLE001 - as above
        raise _why(error, session, user) from None


def _why(error: Exception, session: Session, user: str) -> NotDone:
    """Why something was not answered. Raises `error` itself where it is a fault of ours."""
    if isinstance(error, Fault):
        return NotDone(_fault(error, user))
    if isinstance(error, HungUp):
        return NotDone(f"{session.line.where} broke the connection off.")
    why = meaning(error, session, user)
    if isinstance(why, HungUp):
        return NotDone(f"{session.line.where} broke the connection off.")
    return (LoginRefused if isinstance(why, WrongLogin) else NotDone)(why.failure.detail)


def _fault(fault: Fault, user: str) -> str:
    if is_denied(fault):
        return (
            f"The login works, but '{clean(user, 80)}' may not do this there: give the machine the text of its page "
            "“Actions”."
        )
    number = f" ({fault.number or fault.wmi})" if fault.number or fault.wmi else ""
    return f"The machine refused it{number}: {shown_text(fault.reason) or 'it gave no reason'}."


def _refused(kind: str, number: int | None) -> Exception:
    if number is None:
        return Unsure("The machine's answer does not tell whether it took the order.")
    return NotDone(orders.refusal(kind, number))
