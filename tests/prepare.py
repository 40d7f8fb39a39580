"""Puts the system packages the tests need in place, or says exactly which are missing. `make test` runs it first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = {
    "/usr/sbin/sshd": "openssh-server",
    "/usr/sbin/slapd": "slapd",
    "/usr/bin/ssh": "openssh-client",
    "/usr/bin/fping": "fping",
    "/usr/sbin/ip": "iproute2",
    "/usr/sbin/tc": "iproute2",
    "/usr/bin/chromium": "chromium",
    "/usr/bin/busybox": "busybox",
    "/usr/bin/ps": "procps",
    "/usr/bin/curl": "curl",
    "/usr/bin/winrmcp": "winrmcp",
    "/usr/sbin/mariadbd": "mariadb-server",
    "/usr/bin/redis-server": "redis-server",
    "/usr/bin/redis-cli": "redis-tools",
    "/usr/sbin/unbound": "unbound",
    "/usr/sbin/nginx": "nginx-light",
    "/usr/sbin/apache2": "apache2",
    "/usr/sbin/chronyd": "chrony",
    "/usr/sbin/snmpd": "snmpd",
    "/usr/bin/snmpbulkwalk": "snmp",
    "/usr/bin/prometheus-node-exporter": "prometheus-node-exporter",
    "/usr/bin/logger": "bsdutils",
}
"""Program -> Debian package. PostgreSQL is not here: the bundled one serves where the system has none."""


def missing() -> dict[str, str]:
    """What is not here, by program."""
    return {
        path: package
        for path, package in PROGRAMS.items()
        if not (Path(path).exists() or shutil.which(Path(path).name))
    }


def main() -> int:
    """Install what is missing on Debian and Ubuntu as root; elsewhere say what to install. 0 when nothing is missing."""
    lacking = missing()
    if lacking and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = sorted(set(lacking.values()))
        print(f"Tests: installing {', '.join(packages)} ...", flush=True)
        # A package that starts a server must not start it here: the tests start their own, elsewhere.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            check=False, env=environment, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        lacking = missing()
    for path, package in lacking.items():
        print(f"Tests need {path}; on Debian or Ubuntu: sudo apt-get install {package}", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
