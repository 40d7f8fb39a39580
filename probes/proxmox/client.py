"""Questions and orders to the Proxmox VE API: a token, bounded answers, and no request sent again by itself."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import requests

from domain.reading import Failure, FailureKind, Secret
from probes import http
from probes.http import verdict
from probes.http.verdict import Answer
from probes.http.wire import Stop, Wire
from probes.limits import TooLate, TooMuch, clean

ANSWER_BYTES = 512 * 1024
"""The most bytes of one answer: some 1000 guests."""
Row = dict[str, Any]
UPID = re.compile(r"UPID:[A-Za-z0-9.-]{1,64}:[A-Za-z0-9:@!_.-]{1,200}", re.ASCII)
"""A task by its number: node, process, moment, what it does, to which guest, for whom."""


class Withheld(Exception):
    """One question is not answered to this token, or not by this version; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """What is asked. Raises Stop where the whole look ends, Withheld where only this answer is missing."""

    def __init__(self, line: requests.Session, wire: Wire, origin: str, secret: Secret) -> None:
        self._line, self._wire, self._origin = line, wire, origin
        self._headers = {
            "Authorization": f"PVEAPIToken={secret.username}={secret.password}",
            "Accept": "application/json",
        }

    def rows(self, *path: str, **query: str | int) -> list[Row]:
        """A list of objects."""
        found = self._ask(path, query)
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

    def row(self, *path: str) -> Row:
        """One object."""
        found = self._ask(path, {})
        return found if isinstance(found, dict) else {}

    def order(self, *path: str, **form: str | int) -> str:
        """Let an order leave, once: the number of its task (UPID)."""
        found = self._ask(path, form, "POST")
        return found if isinstance(found, str) and UPID.fullmatch(found) else ""

    def _ask(self, path: tuple[str, ...], query: dict[str, str | int], method: str = "GET") -> Any:
        url = f"{self._origin}/api2/json/{'/'.join(quote(part, safe='') for part in path)}"
        asked = {"params": query} if method == "GET" else {"data": query}
        request = self._line.prepare_request(requests.Request(method, url, headers=self._headers, **asked))
        self._wire.waiting_for = f"the answer to /{path[0]}"
        try:
            with self._line.send(
                request, stream=True, allow_redirects=False, timeout=self._wire.deadline.check()
            ) as response:
                body, whole = http.body_of(response, self._wire, ANSWER_BYTES)
                answer = Answer(
                    response.status_code, response.headers.get("Content-Encoding", ""), "utf-8", body, whole
                )
                reason = clean(str(response.reason or ""), 120)
        except (Stop, TooMuch, TooLate, *http.BROKEN) as error:
            failure = http.why(self._wire, error)
            raise Stop(failure.kind, failure.detail) from None
        return _read(answer, reason)


def _read(answer: Answer, reason: str) -> Any:
    """What lies under `data`."""
    if answer.status == 401:
        raise Stop(
            FailureKind.DENIED,
            "Proxmox does not take this token: the user name of the credential is like pantau@pve!watch, the password its secret.",
        )
    if answer.status in (403, 404, 500, 501, 595, 596):  # 595, 596: the node asked for does not answer the one asked
        raise Withheld(answer.status, reason)
    if answer.status != 200:
        raise Stop(FailureKind.REFUSED, f"The server answers {answer.status}: {reason or 'without a word'}.")
    if not answer.whole:
        raise Stop(FailureKind.REFUSED, f"The server's answer is larger than {ANSWER_BYTES // 1024} KiB.")
    try:
        document = verdict.document(verdict.text_of(answer))
    except (TooMuch, ValueError, RecursionError):
        raise Stop(FailureKind.REFUSED, "What answers there is not the API of Proxmox VE: it is not JSON.") from None
    if not isinstance(document, dict) or "data" not in document:
        raise Stop(FailureKind.REFUSED, "What answers there is not the API of Proxmox VE: there is no 'data' in it.")
    return document["data"]


def denied(what: str) -> Failure:
    """A right that is missing for all of a subject."""
    return Failure(
        FailureKind.DENIED,
        f"The token may not see {what}: give it the role PVEAuditor on / as the page of this check shows.",
    )
