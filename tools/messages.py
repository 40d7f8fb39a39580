"""Gather every sentence the pages and messages can say: `python tools/messages.py` brings the .po files up to date.

Sources are the templates, the Python of the web and of the notifier, and what probes say of themselves (labels, help, titles). What
is new comes in untranslated and is named; what nobody says any more goes. `--check` only tells, for the tests.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

from domain.options import describe
from notifier import channels
from probes import catalogue

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "webui"
TELLER = ROOT / "notifier"
PO = WEB / "translations"
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
KEYWORDS = {**DEFAULT_KEYWORDS, "lazy_gettext": None}


def main() -> int:
    """Bring every language up to date; the exit code is 1 where a sentence still waits for its translation."""
    gathered, waiting = gather(), []
    for path in sorted(PO.glob("*/LC_MESSAGES/messages.po")):
        language = path.parts[-3]
        with path.open("rb") as source:
            known = read_po(source, locale=language)
        known.update(gathered, no_fuzzy_matching=True)
        if "--check" not in sys.argv:
            path.write_bytes(written(known))
        waiting += [f"{language}: {message.id!r}" for message in known if message.id and not whole(message.string)]
    sys.stdout.write("".join(f"{line}\n" for line in waiting))
    return 1 if waiting else 0


def gather() -> Catalog:
    """All sentences, as a catalogue without translations."""
    found = Catalog(project="Pantau", charset="utf-8")
    options = {"**.html": {"trimmed": "true", "silent": "false"}}
    for room in (WEB, TELLER):
        for name, _line, message, _comments, context in extract_from_dir(
            room, METHODS, options_map=options, keywords=KEYWORDS
        ):
            found.add(message, locations=[(f"{room.name}/{name}", 0)], context=context)
    for text, where in (*spoken_by_probes(), *spoken_by_channels()):
        found.add(text, locations=[(where, 0)])
    return found


def spoken_by_probes() -> Iterator[tuple[str, str]]:
    """What probes say of themselves: these reach the pages as data."""
    for kind, probe in catalogue().items():
        where = f"probes/{kind}"
        yield probe.label, where
        for option in describe(probe.options):
            if not option.hidden:
                yield from ((text, where) for text in (option.label, option.help) if text)
                yield from ((choice, where) for choice in option.choices if any(c.isalpha() for c in choice))
        for made in probe.produces:
            yield from ((text, where) for text in (made.title, made.of) if text)


def spoken_by_channels() -> Iterator[tuple[str, str]]:
    """What channels say of themselves: their forms are drawn from it."""
    for kind, channel in channels.catalogue().items():
        where = f"notifier/channels/{kind}"
        yield channel.label, where
        yield from ((label, where) for label in channel.secrets.values())
        for option in (*describe(channel.options), *describe(channel.address)):
            if not option.hidden:
                yield from ((text, where) for text in (option.label, option.help) if text)
                yield from ((choice, where) for choice in option.choices if any(c.isalpha() for c in choice))


def whole(translation: str | tuple[str, ...] | list[str] | None) -> bool:
    """Whether every form of a translation is there."""
    forms = [translation] if isinstance(translation, str) else list(translation or ())
    return bool(forms) and all(forms)


def written(catalog: Catalog) -> bytes:
    """The .po as it is committed: sorted, without dates and line numbers, so that edits meet without conflict."""
    catalog.obsolete.clear()
    packed = io.BytesIO()
    write_po(packed, catalog, sort_output=True, include_lineno=False, width=0, omit_header=False, ignore_obsolete=True)
    dated = (b'"POT-Creation-Date', b'"PO-Revision-Date', b'"Generated-By', b'"Last-Translator', b'"Language-Team')
    lines = packed.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith((*dated, b"#")) or line.startswith(b"#: "))


if __name__ == "__main__":
    sys.exit(main())
