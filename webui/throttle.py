"""Guessing passwords gets slower and slower, per account and per source; a browser known to be yours is never shut out.

What has to wait is remembered in this process too, so that a flood is turned away without asking the database.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from flask import current_app, g, request
from sqlalchemy import delete, func, select, text
from werkzeug.wrappers import Response

from domain.clock import now
from domain.inventory import LoginAttempt
from webui import audited, cookies, store
from webui.language import gettext
from webui.wording import span

WINDOW = timedelta(minutes=30)
LONGEST = 900.0
DEVICE_DAYS = 180
CROWD = 2
"""Failures of an account or a source from which on its tries go into the lane of the crowd (webui/passwords.py)."""
REMEMBERED = 20_000


class Blocked:
    """Until when which bucket has to wait, as far as this process knows; forgets the oldest."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}
        self._lock = Lock()

    def put(self, name: str, until: datetime) -> None:
        """`name` waits until then."""
        with self._lock:
            self._until.pop(name, None)
            self._until[name] = until
            while len(self._until) > REMEMBERED:
                del self._until[next(iter(self._until))]

    def left(self, name: str, moment: datetime) -> float:
        """Seconds `name` still has to wait, at least."""
        until = self._until.get(name)
        return max(0.0, (until - moment).total_seconds()) if until else 0.0


@dataclass(frozen=True)
class Bucket:
    """What is counted together: `free` failures cost nothing, each further one doubles the wait."""

    column: str
    value: str
    free: int
    own: bool = False
    """Whether it is of a browser that is known to be this person's."""

    @property
    def name(self) -> str:
        """Its name among all."""
        return f"{self.column} {self.value}"

    def wait(self, failures: int, last: datetime | None, moment: datetime) -> float:
        """Seconds still to wait after `failures`, the last of them at `last`."""
        if failures < self.free or last is None:
            return 0.0
        pause = min(LONGEST, 2.0 ** min(20, failures - self.free + 1))
        return max(0.0, pause - (moment - last).total_seconds())


def wait(login: str, what: str = "") -> float:
    """Seconds until the next try for `login` from here; 0 means try now, and counts as a failure until forgiven.

    `what` is tried when it is not the password, such as `code`: it is counted for itself.

    The try is written down before the password is looked at, under a lock: a thousand tries at once are still one
    after the other.
    """
    moment, buckets = now(), _buckets(login, what)
    blocked: Blocked = current_app.extensions.setdefault("blocked", Blocked())
    remembered = max(blocked.left(bucket.name, moment) for bucket in buckets)
    if remembered:
        return remembered
    database = store.session()
    database.execute(text("select pg_advisory_xact_lock(hashtext(:key))"), {"key": f"login {buckets[0].value}"})
    counted = [_failures(bucket, moment) for bucket in buckets]
    waits = [bucket.wait(*failed, moment) for bucket, failed in zip(buckets, counted, strict=True)]
    for bucket, seconds in zip(buckets, waits, strict=True):
        if seconds:
            blocked.put(bucket.name, moment + timedelta(seconds=seconds))
    g.crowded = not buckets[0].own and any(failures >= CROWD for failures, _last in counted)
    if not any(waits):
        database.add(LoginAttempt(account=buckets[0].value, source=_source(), at=moment))
        database.execute(delete(LoginAttempt).where(LoginAttempt.at < moment - 2 * WINDOW))
    database.commit()
    return max(waits)


def forgive(login: str, what: str = "") -> None:
    """The password was right: earlier failures of this account from here no longer count."""
    account = _buckets(login, what)[0].value
    store.session().execute(
        delete(LoginAttempt).where(LoginAttempt.account == account, LoginAttempt.source == _source())
    )
    store.session().commit()


def crowded() -> bool:
    """Whether the try that `wait` has just let through is one of an account or a source that failed lately."""
    return bool(g.get("crowded"))


def told(login: str, person_id: int | None) -> None:
    """A wrong password is on record, at most once an account and minute; names nobody has, once a source and minute.

    In the caller's transaction.
    """
    on = f"person:{person_id}" if person_id is not None else f"source:{_source()}"
    lately = now() - timedelta(minutes=1)
    mine = LoginAttempt.account == login if person_id is not None else LoginAttempt.source == _source()
    tries = store.session().scalar(select(func.count()).select_from(LoginAttempt).where(mine, LoginAttempt.at > lately))
    audited.seldom("login.failed", on, tries=tries or 1)


def sentence(seconds: float) -> str:
    """What to tell the person who has to wait."""
    return gettext("Too many wrong tries. Please wait %(time)s and try again.", time=span(seconds + 1))


def know_device(answer: Response, login: str) -> None:
    """Remember that this browser has logged `login` in: others' guessing cannot keep it out from now on."""
    value = cookies.sign("device", login)
    answer.set_cookie(
        cookies.name("device"),
        value,
        max_age=DEVICE_DAYS * 86400,
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def _buckets(login: str, what: str = "") -> list[Bucket]:
    """A known browser has a bucket of its own; everybody else shares the account's and the source's."""
    if cookies.signed("device", login, cookies.read("device")):
        return [Bucket("account", f"{login} known device {what}".strip(), 10, own=True)]
    return [Bucket("account", f"{login} {what}".strip(), 5), Bucket("source", _source(), 12)]


def _failures(bucket: Bucket, moment: datetime) -> tuple[int, datetime | None]:
    column = LoginAttempt.account if bucket.column == "account" else LoginAttempt.source
    row = (
        store.session()
        .execute(
            select(func.count(), func.max(LoginAttempt.at)).where(
                column == bucket.value, LoginAttempt.at > moment - WINDOW
            )
        )
        .one()
    )
    return row[0], row[1]


def _source() -> str:
    """Where the request comes from; of IPv6 the /64, because one household owns all of it."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
