"""What the probes need of this machine: findings for `pantau doctor` as (code, level, text, hint)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Literal

from probes.icmp.packet import permission

Row = tuple[str, Literal["ok", "warning", "error"], str, str]


def findings() -> list[Row]:
    """Everything the probes know to check."""
    return list(_ping())


def _ping() -> Iterator[Row]:
    mode, hint = permission()
    if mode is None:
        yield "P010", "error", "This user may not ping.", hint
    else:
        yield "P010", "ok", f"Ping works by {'a ping socket' if mode == 'dgram' else 'a raw socket'}.", ""
    if shutil.which("sh") is None:
        yield "P011", "error", "There is no sh here, so this machine cannot look at itself.", "Install a POSIX shell."
