"""One form being filled in: fields go in as they are stored, values come out, every fault stays beside its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from webui.addresses import ODD
from webui.forms import SECRET, Field, number
from webui.language import gettext

LONGEST = 100
LONGEST_SECRET = 64 << 10


class Draft:
    """The plain fields of one form. `typed` is None while the page is only looked at."""

    def __init__(self, typed: Mapping[str, str] | None) -> None:
        self._typed = typed
        self._fields: dict[str, Field] = {}

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    @property
    def good(self) -> bool:
        """Whether something was sent and nothing of it is wrong."""
        return self._typed is not None and not any(field.wrong for field in self._fields.values())

    def fault(self) -> tuple[str, str]:
        """(name, sentence) of the first field that is wrong; both empty where none is."""
        return next(((field.name, field.wrong) for field in self._fields.values() if field.wrong), ("", ""))

    def text(self, field: Field, longest: int = LONGEST) -> str:
        """One or more lines of text, without the spaces around them."""
        text = self._put(field).strip()
        several = text.replace("\n", "").replace("\t", "") if field.shown == "lines" else text
        if self._typed is None:
            return text
        if ODD.search(several):
            self.blame(field.name, gettext("This holds characters that cannot be seen."))
        elif len(text) > longest:
            self.blame(field.name, gettext("This takes at most %(most)s characters.", most=longest))
        elif field.required and not text:
            self.blame(field.name, gettext("Please fill in this field."))
        return text

    def number(self, field: Field) -> float | None:
        """A number within the field's bounds, or None where it is left empty."""
        text = self._put(field).strip()
        if self._typed is None or not text:
            if self._typed is not None and field.required:
                self.blame(field.name, gettext("Please fill in this field."))
            return None
        try:
            return number(text, int if field.whole else float, field.low, field.high)
        except (ValueError, OverflowError) as error:
            self.blame(field.name, str(error))
            return None

    def tick(self, field: Field) -> bool:
        """Whether the box is ticked."""
        return self._put(field) == "yes"

    def choice(self, field: Field) -> str:
        """One of the field's choices."""
        text = self._put(field)
        if self._typed is not None and text not in {value for value, _ in field.choices}:
            self.blame(field.name, gettext("Please choose one of the values offered."))
        return text

    def secret(self, field: Field) -> str:
        """A secret exactly as typed; the field forgets it."""
        text = self._put(field)
        if len(text) > LONGEST_SECRET:
            self.blame(field.name, gettext("This is too long to be a secret."))
            return ""
        return text

    def blame(self, name: str, sentence: str) -> None:
        """Tell what is wrong with a field; the first fault found is the one told."""
        if not self._fields[name].wrong:
            self._fields[name] = replace(self._fields[name], wrong=sentence)

    def remind(self) -> None:
        """Before a form with a fault is shown again: what was forgotten on purpose must be entered once more."""
        for field in list(self._fields.values()):
            if field.shown in SECRET and self._typed is not None and self._typed.get(field.name):
                self.blame(field.name, gettext("Please enter this again: a secret is never sent back to the browser."))

    def _put(self, field: Field) -> str:
        if self._typed is None:
            self._fields[field.name] = field
            return field.value
        text = self._typed.get(field.name, "").replace("\r\n", "\n").replace("\0", "")
        self._fields[field.name] = field.amended(text)
        return text
