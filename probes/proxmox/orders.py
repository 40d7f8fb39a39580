"""The text that gives a token of Proxmox VE the restart of guests, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable

TOKEN = re.compile(r"[A-Za-z0-9_.-]{1,60}@[A-Za-z0-9_.-]{1,60}![A-Za-z0-9_.-]{1,60}", re.ASCII)
"""A token that may stand in the text."""
USUAL = "pantau@pve!restart"


def rights(user: str, guests: Iterable[str]) -> str:
    """Commands for any node that let the token `user` see and restart these guests (by number; without any, all)."""
    token = user if TOKEN.fullmatch(user) else USUAL
    person, _, name = token.partition("!")
    paths = [f"/vms/{number}" for number in guests if number.isascii() and number.isdigit()] or ["/vms"]
    lines = [
        "# As root on any node. The last line prints the token's secret, once.",
        'pveum role add PantauRestart -privs "VM.Audit VM.PowerMgmt"',
        f"pveum user add {person} --comment 'restarts guests, nothing else'",
        *(f"pveum acl modify {path} --users {person} --roles PantauRestart" for path in paths),
        f"pveum user token add {person} {name} --privsep 0",
    ]
    return "\n".join(lines) + "\n"
