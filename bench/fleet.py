#!/usr/bin/env python3
"""A whole installation watching a mixed fleet on loopback: looks done, lateness, the poller's CPU and memory.

    python bench/fleet.py [--hosts 200] [--interval 10] [--minutes 10] [--away SECONDS]

Of every ten hosts four answer ping, two ping and a TCP port, two ping and HTTP, two ping and SSH (a real sshd with a
key login, every host its own session). The machine that runs it carries the fleet as well, so lateness is an upper
bound. `--away` stops PostgreSQL's postmaster for so long in the middle and counts lost and doubled looks afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import vault
from tests.installation import Installation, installed, until
from tests.ports import free_port


class Page(BaseHTTPRequestHandler):
    """Two hundred bytes of HTML."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"<title>ok</title>" + b"x" * 180
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    server = ThreadingHTTPServer(("0.0.0.0", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


@contextlib.contextmanager
def ssh_server(directory: Path) -> Iterator[tuple[int, str]]:
    """A real sshd on every loopback address; its port and the private key that opens it."""
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    config = directory / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 0.0.0.0\nHostKey {directory / 'host'}\nAuthorizedKeysFile {directory / 'user.pub'}\n"
        "StrictModes no\nUsePAM no\nMaxStartups 200:30:400\nPidFile none\nPermitRootLogin yes\n"
    )
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield port, (directory / "user").read_text()
    finally:
        server.terminate()
        server.wait()


def enroll(up: Installation, hosts: int, http: int, ssh: int, key: str) -> None:
    """The fleet into the inventory, in one transaction: one edit, one plan."""
    import psycopg

    seal = vault.sealer(up.directory / "vault.pub").seal
    secret = seal(json.dumps({"private_key": key}).encode(), "credential:bench")
    with psycopg.connect(up.database_url) as connection:
        ((credential,),) = connection.execute(
            "insert into credential (name, kind, username, sealed, seal_id) values ('bench', 'ssh_key', %s, %s, 'bench') returning id",
            [os.environ.get("USER", "root"), secret],
        ).fetchall()
        for number in range(hosts):
            ((host,),) = connection.execute(
                "insert into host (name, address) values (%s, %s) returning id",
                [f"host-{number:04}", f"127.1.{number >> 8}.{number & 255 or 1}"],
            ).fetchall()
            second = (None, None, None, None, "tcp", "tcp", "http", "http", "ssh", "ssh")[number % 10]
            options = {"tcp": {"port": http}, "http": {"port": http}, "ssh": {"port": ssh}}.get(second or "", {})
            rows = [(host, "icmp", "ping", {}, None)]
            if second:
                rows.append((host, second, second, options, credential if second == "ssh" else None))
            for row in rows:
                connection.execute(
                    "insert into host_check (host_id, kind, name, options, credential_id) values (%s, %s, %s, %s, %s)",
                    [*row[:3], json.dumps(row[3]), row[4]],
                )


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--away", type=float, default=0, help="seconds PostgreSQL is stopped in the middle")
    chosen = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="pantau-fleet-"))
    directory.chmod(0o755)
    try:
        with (
            web_server() as http,
            ssh_server(directory) as (ssh, key),
            installed(PANTAU_INTERVAL=str(chosen.interval), PANTAU_SEATS="64") as up,
        ):
            measure(up, chosen, http, ssh, key)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def measure(up: Installation, chosen: argparse.Namespace, http: int, ssh: int, key: str) -> None:
    """Warm up for two and a half minutes (new machines are looked at every 5 s at first), then measure."""
    until(lambda: up.query("select 1 from latest"))
    enroll(up, chosen.hosts, http, ssh, key)
    warm = max(135.0, 2.0 * chosen.interval)
    print(f"{chosen.hosts} hosts enrolled; warming up for {warm:.0f} s ...", flush=True)
    time.sleep(warm)
    poller = up.children()["poller"]
    start, cpu_start, memory_start = time.time(), cpu(poller), memory(poller)
    seconds = chosen.minutes * 60
    if chosen.away:
        time.sleep(max(0.0, (seconds - chosen.away) / 2))
        server = int((up.directory / "postgres" / "postmaster.pid").read_text().split()[0])
        print(f"PostgreSQL is stopped for {chosen.away:.0f} s ...", flush=True)
        stop_for(up, server, chosen.away)
    time.sleep(max(0.0, start + seconds - time.time()))
    end, used, memory_end = time.time(), cpu(poller) - cpu_start, memory(poller)
    time.sleep(15 if chosen.away else 3)
    report(up, chosen, start, end, used, memory_start, memory_end)


def stop_for(up: Installation, server: int, seconds: float) -> None:
    """Freeze the whole server (every backend too): connections hang as on a dead disk; then let it go on."""
    backends = [
        int(p)
        for p in subprocess.run(
            ["pgrep", "-P", str(server)], capture_output=True, text=True, check=False
        ).stdout.split()
    ]
    for pid in [server, *backends]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in [*backends, server]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def report(
    up: Installation, chosen: argparse.Namespace, start: float, end: float, used: float, before: float, after: float
) -> None:
    seconds = end - start
    looks = up.query(
        "select check_id, count(*), count(distinct ts), count(*) filter (where state <> 0) from raw"
        " where ts >= to_timestamp(%s) and ts < to_timestamp(%s) group by check_id", [start, end],
    )  # fmt: skip
    slots = seconds / chosen.interval
    complete = sum(1 for _, count, _, _ in looks if count >= int(slots))
    total, doubled = sum(row[1] for row in looks), sum(row[1] - row[2] for row in looks)
    ((load,),) = up.query("select data from heartbeat where role = 'poller'")
    changes = up.query(
        "select count(*) from change where at >= to_timestamp(%s) and at < to_timestamp(%s) and to_state in ('down', 'unknown')",
        [start, end],
    )[0][0]
    print(
        f"checks {len(looks)}, looks {total} of {len(looks) * slots:.0f} due, {complete} checks without a gap, {doubled} doubled, {sum(r[3] for r in looks)} failed, {changes} false changes"
    )
    print(
        f"lateness p50 {load['late_p50']} s, p99 {load['late_p99']} s, max {load['late_max']} s over {load['rounds']} rounds; {load['overlapped']} rounds passed over"
    )
    print(
        f"poller {used / seconds * 100:.1f} % of one core, {used / max(total, 1) * 1000:.2f} ms a look; memory {before:.0f} -> {after:.0f} MiB"
    )


if __name__ == "__main__":
    main()
