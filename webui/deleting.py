"""What is deleted after it was asked for twice: on a page of its own, then for good."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webui import store
from webui.language import gettext


def asked_twice(row: Any, text: str, *, home: str, back: str) -> Response | str:
    """The page that asks (`text` says what deleting means); on POST `row` is gone, and `home` (an endpoint) comes."""
    if request.method == "GET":
        return render_template("delete.html", active=home, name=row.name, text=text, back=back)
    session, name = store.session(), row.name
    session.delete(row)
    store.announce("inventory")
    session.commit()
    flash(gettext("“%(name)s” is deleted.", name=name), "good")
    return redirect(url_for(home), 303)
