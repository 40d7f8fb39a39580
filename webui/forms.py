"""Fields as data: forms for people are drawn from them, and an Options dataclass becomes fields and comes back.

Whatever is wrong, everything typed is shown again with the sentence beside the field; secrets alone are never
sent back to the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from domain.options import Option, describe, fill
from webui.language import gettext

Shown = Literal["text", "number", "check", "choice", "lines", "secret", "key"]
SECRET = ("secret", "key")
"""What is never sent back to the browser: one line, and a pasted private key."""


@dataclass(frozen=True)
class Field:
    """One field of a form. `value` is the text shown; `wrong` is the sentence beside it, empty when all is well."""

    name: str
    label: str
    shown: Shown = "text"
    value: str = ""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False
    required: bool = False
    autocomplete: str = "off"
    wrong: str = ""

    def amended(self, value: str | None = None, wrong: str = "") -> Field:
        """The field with what was typed and what is wrong with it. A secret forgets what was typed."""
        kept = "" if self.shown in SECRET or value is None else value
        return replace(self, value=kept, wrong=wrong)


class OptionsForm:
    """The form of one Options dataclass (a probe's, a channel's). Field names begin with `prefix`."""

    def __init__(self, options: type, prefix: str = "") -> None:
        self._options = options
        self._prefix = prefix
        self._shown = tuple(o for o in describe(options) if not o.hidden)

    def fields(self, values: Mapping[str, Any] | None = None) -> list[Field]:
        """The fields with the values stored (or the defaults)."""
        stored = values or {}
        return [self._field(o, _text(stored.get(o.name, o.default))) for o in self._shown]

    def read(self, typed: Mapping[str, str], keep: Mapping[str, Any] | None = None) -> tuple[Any | None, list[Field]]:
        """What was typed as an instance of the dataclass, and the fields to show again.

        The instance is None when a field is wrong. `keep` are stored values of hidden fields, carried over.
        """
        values: dict[str, Any] = {
            o.name: (keep or {})[o.name] for o in describe(self._options) if o.hidden and o.name in (keep or {})
        }
        fields = []
        for option in self._shown:
            text = typed.get(self._prefix + option.name, "").strip()
            wrong = ""
            try:
                values[option.name] = _read(option, text)
            except ValueError as error:
                wrong = str(error)
            fields.append(self._field(option, text).amended(text, wrong))
        if any(field.wrong for field in fields):
            return None, fields
        return self._fill(values, fields)

    def _fill(self, values: dict[str, Any], fields: list[Field]) -> tuple[Any | None, list[Field]]:
        """The dataclass's own word is the last one: what it refuses is told beside the field it names."""
        try:
            return fill(self._options, values), fields
        except ValueError as error:
            sentence = str(error)
            named = next((i for i, o in enumerate(self._shown) if f"'{o.name}'" in sentence), 0)
            fields[named] = replace(fields[named], wrong=sentence[:1].upper() + sentence[1:])
            return None, fields

    def _field(self, option: Option, text: str) -> Field:
        shown: Shown = "text"
        if option.choices:
            shown = "choice"
        elif option.type is bool:
            shown = "check"
        elif option.type in (int, float):
            shown = "number"
        elif option.type is tuple:
            shown = "lines"
        return Field(
            name=self._prefix + option.name,
            label=gettext(option.label),
            shown=shown,
            value=text,
            help=gettext(option.help) if option.help else "",
            choices=tuple((choice, gettext(choice) if choice else gettext("none")) for choice in option.choices),
            low=option.low,
            high=option.high,
            whole=option.type is int,
            required=option.required,
        )


def _text(value: Any) -> str:
    """A stored value as it stands in a form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, tuple | list):
        return "\n".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _read(option: Option, text: str) -> Any:
    """The typed text as the option's type; ValueError carries the sentence for the person."""
    if option.type is bool:
        return text in ("yes", "on", "1", "true")
    if not text and option.required:
        raise ValueError(gettext("Please fill in this field."))
    if not text:
        return option.default
    if option.type is tuple:
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if option.type in (int, float):
        return number(text, option.type, option.low, option.high)
    if option.choices and text not in option.choices:
        raise ValueError(gettext("Please choose one of the values offered."))
    return text


def number(text: str, kind: type, low: float | None, high: float | None) -> float:
    """A number typed with a decimal point or comma, of type int or float, within its bounds; else ValueError."""
    try:
        typed = kind(text.replace(",", "."))
    except ValueError:
        whole = gettext("This takes a whole number, such as 5.")
        raise ValueError(whole if kind is int else gettext("This takes a number, such as 1.5.")) from None
    if typed != typed or (low is not None and typed < low) or (high is not None and typed > high):
        if low is not None and high is not None:
            raise ValueError(gettext("This lies between %(low)s and %(high)s.", low=f"{low:g}", high=f"{high:g}"))
        if low is not None:
            raise ValueError(gettext("This is at least %(low)s.", low=f"{low:g}"))
        raise ValueError(gettext("This is at most %(high)s.", high=f"{high:g}" if high is not None else "?"))
    return float(typed) if kind is float else int(typed)
