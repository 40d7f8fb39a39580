"""Actions on a Linux machine as commands that are always the same, and the sudoers text that allows exactly these.

Nothing a person typed stands in them but the name of a unit, in the narrow form of domain/orders.py and from the machine's
own list; sudo compares the whole command line with the text generated here, so anything else is refused there once more.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.orders import SERVICE

SYSTEMCTL, SHUTDOWN = "/bin/systemctl", "/sbin/shutdown"
BOOT = "cat /proc/sys/kernel/random/boot_id"
"""What tells one start of the machine from another (random(4)); everybody may."""
GATE = "/usr/local/bin/pantau-act"
VERBS = {"service.restart": "restart", "service.start": "start", "service.stop": "stop"}
DELAY = 1
"""Minutes in which whoever sits at the machine can call the restart off (`shutdown -c`)."""
RESTART = f"{SHUTDOWN} -r +{DELAY} Pantau"


def command(kind: str, service: str = "") -> str:
    """What is run as root by `sudo -n`. Raises ValueError for what is no such order."""
    if kind == "host.restart":
        return RESTART
    return f"{SYSTEMCTL} {VERBS[kind]} -- {_unit(service)}" if kind in VERBS else _unknown(kind)


def state(service: str) -> str:
    """How a unit is asked for its state; everybody may."""
    return f"{SYSTEMCTL} show --property=MainPID,ActiveState,SubState,ActiveEnterTimestampMonotonic -- {_unit(service)}"


def gate(services: Iterable[str]) -> str:
    """A program for the account's key to be tied to (`command=` in authorized_keys, sshd(8)): it does what actions need,
    word for word, and nothing else. Runbooks are no part of it."""
    names = sorted(services)
    allowed = [
        BOOT,
        f"sudo -n {RESTART}",
        *(state(one) for one in names),
        *(f"sudo -n {command(kind, one)}" for one in names for kind in VERBS),
    ]
    return _GATE.replace("@ALLOWED@", " | \\\n".join(f"'{one}'" for one in allowed))


def sudoers(user: str, services: Iterable[str]) -> str:
    """The text of /etc/sudoers.d/pantau for `user`: the restart of the machine, and each unit restarted, started, stopped."""
    commands = [RESTART, *(command(kind, one) for one in sorted(services) for kind in VERBS)]
    lines = ", \\\n    ".join(one.replace(":", "\\:").replace("=", "\\=") for one in commands)
    return f"Cmnd_Alias PANTAU = {lines}\n{user} ALL=(root) NOPASSWD: PANTAU\nDefaults:{user} !requiretty\n"


def _unit(service: str) -> str:
    if not SERVICE.fullmatch(service) or "$" in service:
        raise ValueError(f"'{service[:60]}' is no unit that can be named in a command.")
    return service


def _unknown(kind: str) -> str:
    raise ValueError(f"'{kind[:60]}' is not done by SSH.")


_GATE = f"""#!/bin/sh
# {GATE}, owner root, mode 0755. Before the key in the account's ~/.ssh/authorized_keys:
#   restrict,command="{GATE}"
case "$SSH_ORIGINAL_COMMAND" in
@ALLOWED@)
    set -f
    exec $SSH_ORIGINAL_COMMAND ;;
esac
echo 'This key may not do that here.' >&2
exit 126
"""
