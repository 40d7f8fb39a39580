"""Files that are replaced whole: whatever happens meanwhile, the old one or the new one is there."""

from __future__ import annotations

import os
from pathlib import Path


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` in the place of `path`, on the disk when this returns. Who owned the old file owns the new one.

    Raises OSError; then the old file stands untouched.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)  # of a process that was killed and had our number
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        if path.exists():  # `up` as root made it for the user the other processes run as
            owner = path.stat()
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    if not hasattr(os, "O_DIRECTORY"):
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)  # the new name too outlives a loss of power
    finally:
        os.close(directory)
