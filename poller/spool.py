"""Pages that PostgreSQL could not take yet, one file each, in order, on disk before anything else happens."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from poller.page import Page

_log = logging.getLogger("poller")


class Spool:
    """A directory of pages named by their sequence number.

    When it grows over its limit the oldest pages give up their single samples; changes and tracks never go.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for partial in directory.glob("*.partial"):
            partial.unlink()
        self._sizes = {int(p.stem): p.stat().st_size for p in sorted(directory.glob("*.page"))}
        self._thinned: set[int] = set()
        self._memory: dict[int, Page] = {}

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def last(self) -> int:
        """The highest sequence number here; 0 when empty."""
        return max(self._sizes, default=0)

    def put(self, page: Page) -> None:
        """Keep a page. On a full disk its samples go; if even its changes find no room they wait in memory."""
        try:
            self._write(page)
        except OSError as error:
            _log.error("The spool takes no samples (%s); changes are kept.", error.strerror)
            self._keep_changes(page.without_samples())
        if sum(self._sizes.values()) > self._limit:
            self._thin()

    def set_aside(self, page: Page) -> None:
        """Keep a page for a person to look at, out of the line."""
        try:
            self._path(page.seq).with_suffix(".refused").write_bytes(page.dump())
        except OSError as error:
            _log.error("Page %d cannot even be set aside (%s).", page.seq, error.strerror)

    def _keep_changes(self, page: Page) -> None:
        self._thinned.add(page.seq)
        try:
            self._write(page)
        except OSError:
            self._memory[page.seq] = page
            self._sizes[page.seq] = 0

    def first(self) -> Page | None:
        """The oldest page; None when empty. A damaged file is set aside with its name ending in .damaged."""
        while self._sizes:
            seq = min(self._sizes)
            if seq in self._memory:
                return self._memory[seq]
            try:
                return Page.parse(self._path(seq).read_bytes())
            except (ValueError, OSError) as error:
                _log.error("Spool file %s cannot be read (%s); it is set aside.", self._path(seq).name, error)
                self._path(seq).rename(self._path(seq).with_suffix(".damaged"))
                del self._sizes[seq]
        return None

    def drop(self, seq: int) -> None:
        """The page is in the database."""
        self._path(seq).unlink(missing_ok=True)
        self._sizes.pop(seq, None)
        self._memory.pop(seq, None)
        self._thinned.discard(seq)

    def _write(self, page: Page) -> None:
        partial = self._path(page.seq).with_suffix(".partial")
        text = page.dump()
        try:
            with partial.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(self._path(page.seq))
        self._sizes[page.seq] = len(text)

    def _thin(self) -> None:
        for seq in sorted(self._sizes):
            if sum(self._sizes.values()) <= self._limit * 0.9:
                return
            if seq not in self._thinned:
                self._write(Page.parse(self._path(seq).read_bytes()).without_samples())
                self._thinned.add(seq)

    def _path(self, seq: int) -> Path:
        return self._directory / f"{seq:015d}.page"
