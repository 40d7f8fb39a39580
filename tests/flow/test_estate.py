"""A whole installation as its users see it: a network discovered, watched, its cost told, all of it taken back."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.installation import Browser, Installation, until

HOSTS = [f"127.0.21.{n}" for n in (2, 3, 4)]


@pytest.fixture
def network() -> Iterator[None]:
    """Three machines on loopback that serve SSH's port, and a great many that are not there."""
    lines = [socket.create_server((host, 22)) for host in HOSTS]

    def serve(line: socket.socket) -> None:
        while True:
            try:
                peer, _ = line.accept()
            except OSError:
                return
            with peer:
                peer.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")

    for line in lines:
        threading.Thread(target=serve, args=(line,), daemon=True).start()
    yield
    for line in lines:
        line.close()


@pytest.mark.root
@pytest.mark.timeout(240)
def test_a_network_is_discovered_watched_costed_and_taken_back(
    running: Installation, rina: Browser, network: None
) -> None:
    asked = rina.post("/discover", {"addresses": "127.0.21.2-4\nfd99::/124", "rate": "500", "trace": "yes"})
    assert asked.status_code == 303
    path = asked.headers["Location"].removeprefix(running.address)
    until(lambda: "SSH-2.0-OpenSSH_9.2p1" in rina.get(path), 20)
    until(lambda: running.query("select 1 from discovery where done_at is not null"), 40)
    page = rina.get(path)
    assert sorted(set(re.findall(r'name="address" value="([^"]+)"', page))) == HOSTS
    checks = re.findall(r'name="check" value="([^"]+)"', page)
    made = rina.post(path, {"address": HOSTS, "check": checks, "division": "Gudang"})
    assert made.status_code == 303
    until(lambda: running.query("select count(*) from track where subject like 'host:%%' and state = 'up'")[0][0] == 4)
    looks, cpu = until(lambda: [row for row in _taken(running) if row[0]], 90)[0]
    assert looks > 3
    assert cpu > 0
    host = running.query("select id from host where address = %s", [HOSTS[0]])[0][0]
    assert "Cost of watching" in until(lambda: _with(rina, f"/machines/{host}", 'id="cost"'), 90)
    told = rina.get("/metrics")
    assert re.search(r'^pantau_check_looks_total\{machine="[^"]+",check="port 22",kind="tcp"\} [1-9]', told, re.M)
    assert re.search(r'^pantau_machines\{state="up"\} 4$', told, re.M)
    addition = made.headers["Location"].removeprefix(running.address)
    assert rina.post(f"{addition}/undo", {}, page=addition).status_code == 303
    assert running.query("select count(*) from host") == [(1,)]
    assert "Traceback" not in running.printed


def _taken(running: Installation) -> list[tuple[float, float]]:
    rows = running.query("select sum(looks), sum(cpu) from watch_cost where ts = 'epoch'")
    return [(float(looks or 0), float(cpu or 0)) for looks, cpu in rows]


def _with(browser: Browser, path: str, words: str) -> str:
    page = browser.get(path)
    return page if words in page else ""
