"""A Linux machine behind a cable, with a real sshd, a service that really runs, and a start of its own that changes.

There is no systemd in a namespace, and no sudo need be installed: `systemctl`, `shutdown` and `sudo` are small stand-ins
laid over the real ones for this machine alone. That sudo allows exactly the lines of the text Pantau generates, and every
command line it is given is written down. What ran at all tells the kernel's process accounting (acct(5)), where asked for.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from probes.ssh import orders
from tests.namespaces import Namespace
from tests.probes.sshserver import SSHD, keygen

SYSTEMCTL = """#!/bin/sh
# restart|start|stop -- UNIT, or show --property=... -- UNIT
verb=$1; for unit; do :; done
pid=$(cat {place}/$unit.pid 2>/dev/null)
run={place}/$unit.run; [ -x "$run" ] || run="sleep 100000"
up() {{ setsid $run >/dev/null 2>&1 </dev/null & echo $! >{place}/$unit.pid; date +%s%N >{place}/$unit.since; }}
down() {{ [ -n "$pid" ] && kill $pid 2>/dev/null && kill -CONT $pid 2>/dev/null; rm -f {place}/$unit.pid; }}
[ -e {place}/$unit.broken ] && [ $verb != show ] && {{ echo "Job for $unit failed." >&2; exit 1; }}
case $verb in
 restart) down; up;; start) [ -n "$pid" ] || up;; stop) down;;
 show) if [ -n "$pid" ]; then s=active; else s=inactive; fi
  echo "MainPID=${{pid:-0}}"; echo "ActiveState=$s"; echo "SubState=x"; echo "ActiveEnterTimestampMonotonic=$(cat {place}/$unit.since 2>/dev/null)";;
esac
"""
SHUTDOWN = """#!/bin/sh
# -r +1 Pantau: the machine is gone at once, and somebody starts it again (Machine.rise)
touch {place}/going
"""
ACCOUNT = "import ctypes, sys; sys.exit(ctypes.CDLL(None).acct(sys.argv[1].encode()))"
RECORD, NAME = 64, slice(48, 64)
"""struct acct_v3: how long one is, and where the name of the command stands in it."""
SUDO = """#!/bin/sh
[ "$1" = -n ] || exit 1
shift
printf '%s\\n' "$*" >>{place}/sudo.log
grep -qxF -- "$*" {place}/allowed || {{ echo "Sorry, user is not allowed to execute '$*'." >&2; exit 1; }}
exec "$@"
"""


class Machine:
    """`address` and `port` are where its sshd listens; `key` logs in, `host_key` is what it shows. An `accounted` one has
    processes of its own, and an account of each that ended."""

    def __init__(self, namespace: Namespace, address: str, services: tuple[str, ...], *, accounted: bool) -> None:
        self.namespace, self.address, self.port, self._accounted = namespace, address, 22, accounted
        self.place = Path(tempfile.mkdtemp(prefix="pantau-machine-"))
        self.place.chmod(0o755)
        for name in ("host", "user"):
            keygen(self.place / name)
        self.key = (self.place / "user").read_text()
        kind, text = (self.place / "host.pub").read_text().split()[:2]
        self.host_key = f"{kind} {text}"
        for room, name, text in (
            ("bin", "systemctl", SYSTEMCTL),
            ("bin", "sudo", SUDO),
            ("sbin", "shutdown", SHUTDOWN),
        ):
            (self.place / room).mkdir(exist_ok=True)
            (self.place / room / name).write_text(text.format(place=self.place))
            (self.place / room / name).chmod(0o755)
        self.allow(services)
        self.start_anew()
        (self.place / "sshd_config").write_text(
            f"Port 22\nListenAddress {address}\nHostKey {self.place / 'host'}\n"
            f"AuthorizedKeysFile {self.place / 'user.pub'}\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
            f"PidFile {self.place / 'pid'}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def allow(self, services: tuple[str, ...]) -> None:
        """What sudo lets through: what the generated text names, read back from it."""
        text = orders.sudoers("root", services).replace("\\:", ":").replace("\\=", "=")
        alias = text.split("Cmnd_Alias PANTAU = ")[1].split("\nroot ")[0]
        (self.place / "allowed").write_text("\n".join(one.strip() for one in alias.split(", \\\n")) + "\n")

    @property
    def sudo(self) -> list[str]:
        """Every command line that was to be run as root."""
        log = self.place / "sudo.log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def ran(self) -> list[str]:
        """The name of every process that ended on this machine, by the kernel's own account."""
        told = (self.place / "acct").read_bytes()
        return [told[at : at + RECORD][NAME].split(b"\0")[0].decode() for at in range(0, len(told), RECORD)]

    def pid(self, service: str) -> int | None:
        """The process of a service."""
        file = self.place / f"{service}.pid"
        return int(file.read_text()) if file.exists() else None

    def systemctl(self, verb: str, service: str) -> None:
        """Somebody at the machine does it."""
        subprocess.run([str(self.place / "bin" / "systemctl"), verb, "--", service], check=True)

    def do(self, service: str, verb: str) -> None:
        """The machine itself does it, among its own addresses."""
        self.namespace.do(str(self.place / "bin" / "systemctl"), verb, "--", service)

    def start_anew(self) -> None:
        """Another start of the machine."""
        (self.place / "boot_id").write_text(f"{uuid.uuid4()}\n")

    def rise(self) -> None:
        """The machine is up."""
        (self.place / "going").unlink(missing_ok=True)
        Path("/run/sshd").mkdir(exist_ok=True)
        over = " && ".join(
            f"mount -t overlay overlay -o lowerdir={self.place / room}:/usr/{room} /usr/{room}"
            for room in ("bin", "sbin")
        )
        account, apart = "", ["unshare", "-m"]
        if self._accounted:
            (self.place / "acct").touch()
            account = f"{sys.executable} -c '{ACCOUNT}' {self.place / 'acct'} && "
            apart += ["-p", "-f", "--kill-child", "--mount-proc"]
        (self.place / "home").mkdir(
            exist_ok=True
        )  # what a login shell of ours would run at its start is none of the machine's
        script = (
            f"mount --make-rprivate / && {over} && {account}mount --bind {self.place / 'home'} {Path.home()} && "
            f"mount --bind {self.place / 'boot_id'} /proc/sys/kernel/random/boot_id && "
            f"exec {SSHD} -D -f {self.place / 'sshd_config'} -E {self.place / 'log'}"
        )
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace.name, *apart, "sh", "-c", script], start_new_session=True
        )
        end = time.monotonic() + 30
        while not (self.place / "pid").exists():
            assert self._process.poll() is None, "the machine did not start"
            assert time.monotonic() < end, "the machine did not start"
            time.sleep(0.05)

    def fall(self) -> None:
        """The machine is down, with every session."""
        if self._process is not None:
            found = subprocess.run(
                ["ip", "netns", "pids", self.namespace.name], capture_output=True, text=True, check=False
            ).stdout.split()
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            self._process.wait()
            self._process = None
            (self.place / "pid").unlink(missing_ok=True)

    @property
    def going(self) -> bool:
        """Whether it was told to restart."""
        return (self.place / "going").exists()

    def close(self) -> None:
        """Gone, with its services."""
        self.fall()
        for file in self.place.glob("*.pid"):
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(file.read_text()), signal.SIGKILL)
        shutil.rmtree(self.place, ignore_errors=True)


@contextmanager
def machine(*services: str, accounted: bool = False) -> Iterator[Machine]:
    """One behind a cable from here: 10.78.0.1 is ours, 10.78.0.2 the machine's."""
    there = Namespace()
    number = os.getpid() % 200
    near, far = f"pm{os.getpid() % 10000}a", f"pm{os.getpid() % 10000}b"
    made: Machine | None = None
    try:
        subprocess.run(
            ["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", there.name], check=True
        )
        subprocess.run(["ip", "address", "add", f"10.78.{number}.1/24", "dev", near], check=True)
        subprocess.run(["ip", "link", "set", near, "up"], check=True)
        there.do("ip", "address", "add", f"10.78.{number}.2/24", "dev", far)
        there.do("ip", "link", "set", far, "up")
        made = Machine(there, f"10.78.{number}.2", services, accounted=accounted)
        made.rise()
        yield made
    finally:
        if made is not None:
            made.close()
        subprocess.run(["ip", "link", "delete", near], check=False)
        there.close()
