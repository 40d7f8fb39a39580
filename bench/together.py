#!/usr/bin/env python3
"""Everything at once: recorded SNMP devices, Windows, Debian, busybox, databases and web servers in one installation.

    python bench/together.py [--minutes 10] [--interval 10] [--screenshots DIRECTORY]

Starts them all on loopback (the recordings from SHARED, ../shared unless said), registers them as a newcomer
would, by `pantau apply`, and watches. At the end: looks done and failed per check, lateness, CPU and memory of the
poller, how long the pages of all machines take, and every line of the log that is no transition. With
--screenshots the pages are drawn by Chromium, at a desk's width and a phone's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "tests")]  # in the place of this directory, whose names are those of packages

from sqlalchemy.orm import Session  # noqa: E402

from config import database  # noqa: E402
from domain.inventory import Person  # noqa: E402
from tests.conformance import snmp as recordings  # noqa: E402
from tests.conformance import winrm as windows  # noqa: E402
from tests.installation import Installation, installed, until  # noqa: E402
from tests.probes import mariadbserver, postgresserver, redisserver, webserver, wsman  # noqa: E402
from tests.probes.sshserver import sshd  # noqa: E402
from webui import passwords  # noqa: E402

PASSWORD = "correct horse battery"
USER = "pantau-read"
QUIET = re.compile(
    r" is (up|down|unknown|degraded|normal|warning|critical)\b|: (up|down|normal|warning|critical|unknown)\b"
)


def check(kind: str, credential: str = "", **options: Any) -> dict[str, Any]:
    """One entry of a document."""
    made: dict[str, Any] = {"kind": kind, "options": options} if options else {"kind": kind}
    return made | ({"credential": credential} if credential else {})


def machine(name: str, *checks: Any) -> dict[str, Any]:
    return {"name": name, "address": "127.0.0.1", "checks": ["icmp", *checks]}


@contextlib.contextmanager
def estate(shared: Path) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """The document that registers everything running, and the secrets it names."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        place = Path(os.environ.get("SNMPSIM", Path(tempfile.gettempdir()) / "pantau-snmpsim"))
        simulator = recordings.serve(shared / "snmp", port, place)
        stack.callback(simulator.terminate)
        devices = sorted(path.stem for path in (shared / "snmp" / "expected").glob("*.json"))
        recordings.wait(port, devices[0])
        debian = stack.enter_context(sshd("Subsystem sftp internal-sftp"))
        farm = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        farm.chmod(0o755)
        for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
            (farm / applet).symlink_to("/usr/bin/busybox")
        small = stack.enter_context(sshd(f"SetEnv PATH={farm}"))
        recorded = stack.enter_context(wsman.listening(windows.recorded(shared / "winrm")))
        roles = wsman.Windows(roles=("iis", "sql"))
        server = stack.enter_context(wsman.listening(roles))
        primary = stack.enter_context(postgresserver.server())
        standby = stack.enter_context(postgresserver.replica(primary))
        source = stack.enter_context(mariadbserver.server())
        copy = stack.enter_context(mariadbserver.replica(source))
        cache = stack.enter_context(redisserver.server())
        web = stack.enter_context(webserver.nginx(index_html="<h1>Toko</h1>"))
        other = stack.enter_context(webserver.apache(index_html="<h1>Kantor</h1>"))
        hosts = [machine(name, check("snmp", f"community {name}", port=port)) for name in devices]
        hosts += [
            machine("debian", check("ssh", "root", port=debian.port),
                    check("ssh_parts", "root", port=debian.port, processes=["sshd"], files=["Passwords = /etc/passwd"])),
            machine("busybox", check("ssh", "root small", port=small.port)),
            machine("windows-2012-recorded", check("winrm", USER, port=recorded.port, tls="http")),
            machine("windows-roles", check("winrm", USER, port=server.port, tls="http")),
            machine("postgresql", check("postgres", "watcher", port=primary.port, replicas=1)),
            machine("postgresql-standby", check("postgres", "watcher", port=standby.port, role="standby")),
            machine("mariadb", check("mysql", "watcher", port=source.port, replicas=1)),
            machine("mariadb-replica", check("mysql", "watcher", port=copy.port, replica=True)),
            machine("redis", check("redis", port=cache.port)),
            machine("nginx", check("http", port=web, keyword="Toko"), check("webstatus", port=web)),
            machine("apache", check("http", port=other, path="/server-status"), check("webstatus", port=other, server="apache")),
        ]  # fmt: skip
        logins = [
            {"name": f"community {name}", "kind": "community", "secret": {"env": f"WORD_{at}"}}
            for at, name in enumerate(devices)
        ]
        secrets = {f"WORD_{at}": name for at, name in enumerate(devices)}
        for name, user, kind, secret in (
            ("root", "root", "ssh_key", debian.key), ("root small", "root", "ssh_key", small.key),
            (USER, USER, "password", wsman.PASSWORDS[USER]), ("watcher", "watcher", "password", "right"),
        ):  # fmt: skip
            variable = f"SECRET_{len(secrets)}"
            logins.append({"name": name, "kind": kind, "username": user, "secret": {"env": variable}})
            secrets[variable] = secret
        yield {"version": 1, "credentials": logins, "hosts": hosts}, secrets


def enrol(up: Installation, document: dict[str, Any], secrets: dict[str, str]) -> None:
    """By `pantau apply`, with the secrets in its environment; and one person to look."""
    file = up.directory.parent / "estate.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "pantau", "apply", str(file)],
        env={**os.environ, **secrets, "PANTAU_DATA": str(up.directory)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout.strip().splitlines()[-1] if done.returncode == 0 else done.stdout + done.stderr)
    assert done.returncode == 0
    engine = database.engine(up.database_url)
    with Session(engine) as session:
        session.add(Person(login="rina", name="Rina", password_hash=passwords.digest(PASSWORD), role="admin"))
        session.commit()
    engine.dispose()


def spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(up: Installation, seconds: float, before: float) -> int:
    """What happened; how many things should not have."""
    wrong = 0
    rows = up.query(
        "select h.name, c.kind, w.looks, w.failed, l.failure_kind, l.failure_detail, cardinality(l.v), w.took / greatest(w.looks, 1)"
        " from host_check c join host h on h.id = c.host_id left join watch_cost w on w.check_id = c.id and w.ts = 'epoch'"
        " left join latest l on l.check_id = c.id order by h.name, c.kind"
    )
    print(f"\n{'machine':26}{'check':12}{'looks':>6}{'failed':>7}{'values':>7}{'took s':>8}")
    for name, kind, looks, failed, why, detail, values, took in rows:
        bad = bool(failed) or not looks or not values
        wrong += bad
        if kind != "icmp" or bad:
            print(
                f"{name:26}{kind:12}{looks or 0:6}{failed or 0:7}{values or 0:7}{took or 0:8.3f}  {why or ''} {detail or ''}"
            )
    states = up.query("select state, count(*) from state_interval where until is null group by state")
    poller = up.children()["poller"]
    memory = int(Path(f"/proc/{poller}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
    ((beat,),) = up.query("select data from heartbeat where role = 'poller' limit 1") or [({},)]
    print(
        f"\nstates {states}; poller {(spent(poller) - before) / seconds * 100:.1f} % of a core, {memory:.0f} MiB; heartbeat {beat}"
    )
    lines = [line for line in up.printed.splitlines() if line.strip()]
    odd = [line for line in lines if re.search(r"\b(ERROR|WARNING|Traceback|error|warning)\b", line)]
    print(f"log: {len(lines)} lines, {len(odd)} of warnings and errors")
    for line in odd[:20]:
        print(f"  {line}")
    return wrong + len(odd)


def browse(up: Installation) -> None:
    """Every machine's page over HTTP, timed."""
    visitor = requests.Session()
    page = visitor.get(f"{up.address}/login", timeout=20)
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None
    visitor.post(f"{up.address}/login", data={"csrf": token[1], "login": "rina", "password": PASSWORD}, timeout=20)
    took = []
    for host, name in up.query("select id, name from host order by name"):
        began = time.monotonic()
        answer = visitor.get(f"{up.address}/machines/{host}", timeout=60)
        took.append((time.monotonic() - began, name, len(answer.content), answer.status_code))
    took.sort(reverse=True)
    print("\nslowest pages (s, machine, bytes, status):")
    for row in took[:5]:
        print("  {:.2f} {} {} {}".format(*row))


def draw(up: Installation, place: Path) -> None:
    """Screenshots of all machines, the list and home."""
    from playwright.sync_api import sync_playwright

    place.mkdir(parents=True, exist_ok=True)
    pages = [("home", "/"), ("machines", "/machines")]
    pages += [(re.sub(r"\W+", "-", name), f"/machines/{host}") for host, name in up.query("select id, name from host")]
    with sync_playwright() as drawer:
        chromium = drawer.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width, height in ((1366, 768), (390, 844)):
            context = chromium.new_context(
                viewport={"width": width, "height": height}, base_url=up.address, locale="en-GB"
            )
            page = context.new_page()
            page.goto("/login")
            page.fill("#login", "rina")
            page.fill("#password", PASSWORD)
            page.click("main button.primary")
            page.wait_for_url("**/")
            for name, path in pages:
                page.goto(path)
                page.wait_for_timeout(300)
                page.screenshot(path=place / f"{name}-{width}.png", full_page=True)
            context.close()
        chromium.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--screenshots", type=Path)
    asked = parser.parse_args()
    shared = Path(os.environ.get("SHARED", "../shared")) / "conformance"
    with estate(shared) as (document, secrets), installed(PANTAU_INTERVAL=str(asked.interval)) as up:
        enrol(up, document, secrets)
        until(lambda: up.query("select 1 from latest having count(*) > 30"), 60)
        before, began = spent(up.children()["poller"]), time.monotonic()
        time.sleep(asked.minutes * 60)
        wrong = report(up, time.monotonic() - began, before)
        browse(up)
        if asked.screenshots:
            draw(up, asked.screenshots)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
