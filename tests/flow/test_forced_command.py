"""A key that is tied to the generated program restarts what it may, and opens nothing else of a real sshd."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.inventory import HostKey
from probes.ssh import orders
from tests.flow.contest import NGINX, agreed, settle
from tests.flow.court import Court
from tests.flow.machine import Machine, machine
from tests.flow.test_actions import hands, serve

REFUSED = (
    "", "id", "sh -s --", "cat /etc/shadow", "cat /proc/sys/kernel/random/boot_id; id", "cat /proc/sys/kernel/random/boot_id\nid",
    "sudo -n /bin/systemctl restart -- sshd.service", "sudo -n /bin/systemctl restart -- nginx.service sshd.service",
    "sudo  -n /sbin/shutdown -r +1 Pantau", "sudo -n /sbin/shutdown -r +1 Pantau $(id)", "'", "*", "$(id)", "x" * 10_000,
)  # fmt: skip


@pytest.fixture
def there() -> Iterator[Machine]:
    with machine("nginx.service") as made:
        program = made.place / "gate"
        program.write_text(orders.gate(["nginx.service"]))
        program.chmod(0o755)
        keys = made.place / "user.pub"
        keys.write_text(f'restrict,command="{program}" {keys.read_text()}')
        yield made


def test_it_restarts_a_service_and_nothing_else(database_url: str, there: Machine, place: Path) -> None:
    court: Court = settle(database_url, there, place)
    with court.owner() as session:
        session.add(HostKey(host_id=court.host, port=22, key=there.host_key, fingerprint="SHA256:x", state="pinned"))
        session.commit()
    before = there.pid("nginx.service")
    for kind in ("service.restart", "service.stop", "service.start"):
        request = agreed(court, kind=kind, params=NGINX["params"])
        serve(hands(court, place))
        assert court.request(request).state == "done", court.request(request).outcome
    assert there.pid("nginx.service") not in (None, before)
    sent = there.sudo
    known = place / "known"
    known.write_text(f"{there.address} {there.host_key}\n")
    ssh = ["ssh", "-i", str(there.place / "user"), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", f"root@{there.address}"]  # fmt: skip
    for command in REFUSED:
        done = subprocess.run([*ssh, command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stdout) == (126, ""), (command, done.stdout, done.stderr)
        assert "may not do that here" in done.stderr
    assert there.sudo == sent
    tunnel = subprocess.run([*ssh[:-1], "-W", "127.0.0.1:22", ssh[-1]], capture_output=True, check=False, stdin=subprocess.DEVNULL)  # fmt: skip
    assert tunnel.returncode != 0
    assert b"prohibited" in tunnel.stderr
    court.close()
