"""How a probe or a channel describes its own options: fields of a frozen dataclass, from which forms, documents and help are made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an Options dataclass, as forms, the YAML reader and the documentation see it."""

    name: str
    type: type
    default: Any
    label: str
    help: str
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    required: bool
    hidden: bool


def option(
    label: str,
    *,
    default: Any = dataclasses.MISSING,
    help: str = "",
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    hidden: bool = False,
) -> Any:
    """Declare a field of an Options dataclass. `hidden` fields are filled by the house (pinned host keys)."""
    about = {"label": label, "help": help, "choices": choices, "low": low, "high": high, "hidden": hidden}
    return dataclasses.field(default=default, metadata=about)


def describe(options: type) -> tuple[Option, ...]:
    """The fields of an Options dataclass in order. Types are one of str, int, float, bool, tuple (of str)."""
    rows = []
    for field in dataclasses.fields(options):
        required = field.default is dataclasses.MISSING
        about = field.metadata
        rows.append(
            Option(
                name=field.name,
                type=_plain(field.type),
                default=None if required else field.default,
                label=about.get("label", field.name),
                help=about.get("help", ""),
                choices=about.get("choices", ()),
                low=about.get("low"),
                high=about.get("high"),
                required=required,
                hidden=about.get("hidden", False),
            )
        )
    return tuple(rows)


def fill(options: type, values: dict[str, Any]) -> Any:
    """An instance of `options` from plain values (JSON, YAML, a form's text).

    Raises ValueError with one sentence naming the field for an unknown key, a missing or malformed value,
    or one out of bounds.
    """
    known = {o.name: o for o in describe(options)}
    for name in values:
        if name not in known:
            raise ValueError(f"unknown option '{name}'; known are: {', '.join(known) or 'none'}.")
    missing = [o.name for o in known.values() if o.required and values.get(o.name) in (None, "")]
    if missing:
        raise ValueError(f"option '{missing[0]}' is required.")
    return options(**{name: _convert(known[name], value) for name, value in values.items() if value is not None})


def _convert(option: Option, value: Any) -> Any:
    """`value` as `option`'s type, checked against its choices and bounds."""
    try:
        converted = _cast(option.type, value)
    except (TypeError, ValueError):
        noun = {int: "a whole number", float: "a number", bool: "yes or no"}.get(option.type, "text")
        raise ValueError(f"option '{option.name}' takes {noun}, not {value!r}.") from None
    if option.choices and converted not in option.choices:
        raise ValueError(f"option '{option.name}' is one of {', '.join(option.choices)}, not {value!r}.")
    if (option.low is not None and converted < option.low) or (option.high is not None and converted > option.high):
        raise ValueError(f"option '{option.name}' lies between {option.low:g} and {option.high:g}, not {value!r}.")
    return converted


def _cast(kind: type, value: Any) -> Any:
    if kind is bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
            "": False,
        }
        if isinstance(value, bool):
            return value
        return words[str(value).strip().lower()] if str(value).strip().lower() in words else _refuse()
    if kind is tuple:
        if isinstance(value, str):
            return tuple(line.strip() for line in value.replace(",", "\n").splitlines() if line.strip())
        return tuple(str(item) for item in value)
    if kind in (int, float):
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and not value.is_integer()):
            _refuse()
        number = kind(value)
        if number != number or number in (float("inf"), float("-inf")):
            _refuse()
        return number
    if not isinstance(value, str | int | float):
        _refuse()
    text = str(value)
    if any(ord(c) < 32 and c not in "\n\t" for c in text):
        _refuse()
    return text


def _refuse() -> Any:
    raise ValueError


def _plain(annotation: Any) -> type:
    names = {"str": str, "int": int, "float": float, "bool": bool}
    if isinstance(annotation, type):
        return annotation
    text = str(annotation).split("[")[0].split("|")[0].strip()
    return names.get(text, tuple if text.startswith("tuple") else str)
