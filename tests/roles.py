"""The rooms come into the tests' databases as they do in earnest: each as its own user (config/roles.py)."""

from __future__ import annotations

import re
from pathlib import Path


def as_role(url: str, role: str) -> str:
    """The owner's URL of a test's database, as one of config.roles.ROLES comes in; any other stays as it is."""
    found = re.search(r"passfile=([^&]+/owner\.pass)", url)
    if not found:
        return url
    file = Path(found[1])
    return url.replace("user=pantau&", f"user=pantau_{role}&").replace(str(file), str(file.with_name(f"{role}.pass")))
