"""Reads a rule's memory back from JSON, and refuses what it does not understand with a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any


def dump(thing: Any) -> dict[str, Any]:
    """The fields of a frozen dataclass that differ from their defaults, as plain JSON values, in field order.

    A nested dataclass is dumped the same way; tuples become lists.
    """
    kept = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.default is MISSING or value != field.default:
            kept[field.name] = _plain(value)
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dump(value) if hasattr(value, "__dataclass_fields__") else value


def is_number(value: object) -> bool:
    """Whether `value` is a finite number that a float can hold; true and false are none."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


class Shelf:
    """One stored object being read. Every reader answers the stored value, or its default.

    Raises ValueError with one sentence for a key this version does not know (stored by a newer one:
    dropping it could lose or repeat a change, R20) and for a value of the wrong kind.
    """

    def __init__(self, cls: type, raw: object) -> None:
        self._noun = cls.__name__
        if not isinstance(raw, Mapping):
            raise ValueError(f"a stored {self._noun} is an object, not {raw!r}.")
        known = {field.name for field in fields(cls)}
        strange = sorted(str(key) for key in raw if key not in known)
        if strange:
            raise ValueError(
                f"a stored {self._noun} has the key '{strange[0]}', which this version does not know: "
                "it was written by a newer one. Run that version, or a later one."
            )
        self._raw = raw

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self._raw.get(key, default)
        if not is_number(value):
            self._refuse(key, "a finite number", value)
        return float(value)

    def moment(self, key: str) -> float | None:
        """A finite number, or None."""
        return None if self._raw.get(key) is None else self.number(key, 0.0)

    def count(self, key: str) -> int:
        """A whole number from 0 up; 0 where none is stored."""
        value = self._raw.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self._refuse(key, "a whole number from 0 up", value)
        return int(value)

    def flag(self, key: str) -> bool:
        """True or false; false where none is stored."""
        value = self._raw.get(key, False)
        if not isinstance(value, bool):
            self._refuse(key, "true or false", value)
        return bool(value)

    def text(self, key: str) -> str:
        """Any text; the empty one where none is stored."""
        value = self._raw.get(key, "")
        if not isinstance(value, str):
            self._refuse(key, "a text", value)
        return str(value)

    def word(self, key: str, default: str, known: tuple[str, ...]) -> str:
        """One of `known`."""
        value = self._raw.get(key, default)
        if not isinstance(value, str) or value not in known:
            self._refuse(key, f"one of {', '.join(repr(word) for word in known)}", value)
        return str(value)

    def moments(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers; empty where none is stored."""
        values = self._raw.get(key, [])
        if not isinstance(values, list) or not all(is_number(value) for value in values):
            self._refuse(key, "a list of finite numbers", values)
        return tuple(float(value) for value in values)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty where none is stored."""
        value = self._raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._refuse(key, "a list of texts", value)
        return tuple(value)

    def things(self, key: str) -> tuple[object, ...]:
        """A list of stored objects, still to be read; empty where none is stored."""
        value = self._raw.get(key, [])
        if not isinstance(value, list):
            self._refuse(key, "a list", value)
        return tuple(value)

    def thing(self, key: str) -> object:
        """A nested stored object, still to be read; an empty one where none is stored."""
        return self._raw.get(key, {})

    def _refuse(self, key: str, wanted: str, value: object) -> None:
        raise ValueError(f"'{key}' of a stored {self._noun} is {wanted}, not {value!r}.")
