"""A whole installation through a bad hour: maintenance, an outage with a machine behind it, somebody on it, and its cause."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.installation import Browser, Installation, command, until

HERE, NOWHERE = "127.0.23.2", "127.0.23.3"
DOCUMENT = """version: 1
hosts:
  - {name: router, address: 127.0.23.2, checks: [{kind: tcp, name: port, options: {port: PORT}, deadline: 1}]}
  - {name: web, address: 127.0.23.2, parents: [router], checks: [{kind: tcp, name: port, options: {port: PORT}, deadline: 1}]}
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A port that answers here and is silent there: a queue that is full lets nobody in."""
    line, full = socket.create_server((HERE, 0)), socket.socket()
    full.bind((NOWHERE, line.getsockname()[1]))
    full.listen(0)
    waiting = [socket.socket() for _ in range(3)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(full.getsockname())

    def serve() -> None:
        while True:
            try:
                peer, _ = line.accept()
            except OSError:
                return
            peer.close()

    threading.Thread(target=serve, daemon=True).start()
    yield line.getsockname()[1]
    for one in (line, full, *waiting):
        one.close()


def move(running: Installation, address: str) -> None:
    """Both machines are somewhere else from now on."""
    with psycopg.connect(running.database_url, autocommit=True) as line:
        line.execute("update host set address = %s where name in ('router', 'web')", [address])
        line.execute(sql.SQL("notify inventory"))


@pytest.mark.timeout(240)
def test_maintenance_an_outage_and_who_was_on_it(
    running: Installation, rina: Browser, port: int, tmp_path: Path
) -> None:
    file = tmp_path / "machines.yaml"
    file.write_text(DOCUMENT.replace("PORT", str(port)))
    applied = command("apply", str(file), PANTAU_DATA=str(running.directory))
    assert applied.returncode == 0, applied.stderr

    def states() -> dict[str, str]:
        return dict(
            running.query(  # type: ignore[arg-type]
                "select h.name, t.state from track t join host h on t.subject = 'host:' || h.id"
                " where h.name in ('router', 'web')"
            )
        )

    def maintained() -> set[str]:
        rows = running.query(
            "select h.name from state_interval i join host h on i.subject = 'maintenance:' || h.id where i.until is null"
        )
        return {name for (name,) in rows}

    until(lambda: states() == {"router": "up", "web": "up"})
    router = running.query("select id from host where name = 'router'")[0][0]
    page = f"/machines/{router}"

    rina.post(f"{page}/maintenance", {"for": "1h", "note": "New firmware"}, page=page)
    until(lambda: maintained() == {"router", "web"})
    assert "2 machines are under maintenance" in rina.get("/")
    ends = re.search(r'action="(/maintenance/\d+/end)"', rina.get(page))
    assert ends
    rina.post(ends[1], {}, page=page)
    until(lambda: not maintained() and "under maintenance" not in rina.get("/"))

    move(running, NOWHERE)
    until(lambda: states() == {"router": "down", "web": "unreachable"}, 60)
    home = until(lambda: text if "1 machine behind it is unreachable" in (text := rina.get("/")) else None)
    assert home.count("<span><a href=") == 1
    incident = running.query("select id from incident where subject = %s", [f"host:{router}"])[0][0]
    case = f"/incidents/{incident}"
    rina.post(f"{case}/acknowledge", {"term": "1h", "note": "Driving there"}, page=case)
    until(
        lambda: running.query(
            "select 1 from track where subject = %s and data -> 'told' ->> 'acknowledged' = 'true'", [f"host:{router}"]
        )
    )

    move(running, HERE)
    until(lambda: states() == {"router": "up", "web": "up"}, 60)
    until(lambda: "Say what it was" in rina.get(case))
    rina.post(f"{case}/close", {"cause": "The cleaner's plug"}, page=case)
    text = rina.get(case)
    told = ("It began", "became unreachable", "is on it until", "Driving there", "It is over", "said what it was")
    assert [words for words in told if words not in text] == []
    assert "The cleaner" in text
    assert running.query("select count(*) from incident where closed_at is null") == [(0,)]
