"""Everything recorded of real devices, read by the real probes; each part prints its own report."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import tests.conformance


def main() -> int:
    """Run every part there is; 1 if any found something wrong."""
    parts = sorted(entry.name for entry in pkgutil.iter_modules(tests.conformance.__path__) if entry.name != "__main__")
    results = []
    for part in parts:
        print(f"== {part}")
        results.append(importlib.import_module(f"tests.conformance.{part}").main())
    return max(results, default=0)


if __name__ == "__main__":
    sys.exit(main())
