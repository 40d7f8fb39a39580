"""Shuts a process out of every file it has no business with (Landlock, Linux 5.13 and later; no rights are needed).

What a process may not open, whoever takes it over cannot read: the web does its work without the keys of the vault.
Processes outside cannot be traced or read (`/proc/<pid>/mem`, `environ`) from inside either, nor, from Linux 6.12 on,
be sent signals.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture, linux/landlock.h
_NO_NEW_PRIVS = 38
_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_SCOPES = 3  # abstract sockets and signals
_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x20080522
_KEPT = (2, 10)
"""CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE."""
_READING = _EXECUTE | _READ_FILE | _READ_DIR


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def offered() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    return max(0, _call(_CREATE, None, 0, _VERSION)) if sys.platform == "linux" else 0


def enter(read: Iterable[Path], write: Iterable[Path]) -> bool:
    """From now on only what lies at or below these places may be read, or also written; False where the kernel cannot.

    For this thread and all it starts, for ever: call it before there are others. Places that are not there are passed
    over. Raises OSError where the kernel knows how and refuses all the same.
    """
    version = offered()
    if not version:
        return False
    handled = _handled(version)
    ruleset = _Ruleset(handled, 0, _SCOPES if version >= 6 else 0)
    size = ctypes.sizeof(_Ruleset) if version >= 6 else 16 if version >= 4 else 8
    rules = _demand(_call(_CREATE, ctypes.byref(ruleset), size, 0))
    try:
        for place in read:
            _allow(rules, place, handled & _READING)
        for place in write:
            _allow(rules, place, handled)
        assert _libc is not None
        _demand(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _demand(_call(_RESTRICT, rules, 0))
    finally:
        os.close(rules)
    return True


def renounce() -> None:
    """Give up what root may beyond its own files, for ever; nothing where we are not root.

    What stays: a port below 1024, and the way through directories of others to the database's socket. Raises OSError.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    assert _libc is not None
    for capability in range(64):
        if capability not in _KEPT and _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # the kernel knows no more of them
    kept = sum(1 << capability for capability in _KEPT)
    header, data = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)
    _demand(_libc.capset(ctypes.byref(header), ctypes.byref(data)))


def _handled(version: int) -> int:
    """Every right this kernel can withhold."""
    later = (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0) | (_IOCTL if version >= 5 else 0)
    return _FIRST | later


def _allow(rules: int, place: Path, rights: int) -> None:
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
        _demand(_call(_ADD, rules, _PATH_BENEATH, ctypes.byref(_Beneath(rights, descriptor)), 0))
    finally:
        os.close(descriptor)


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _call(number: int, *arguments: object) -> int:
    assert _libc is not None
    done: int = _libc.syscall(number, *arguments)
    return done


def _demand(code: int) -> int:
    if code < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return code
