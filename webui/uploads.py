"""How much a request may bring along: little, but where a page declares that it takes files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, request

View = TypeVar("View", bound=Callable[..., Any])


def takes(most: int) -> Callable[[View], View]:
    """This view takes a body of up to so many bytes."""

    def declare(view: View) -> View:
        view.__body__ = most  # type: ignore[attr-defined]
        return view

    return declare


def install(app: Flask) -> None:
    """Before anybody reads a form. Call before `csrf.install`."""
    app.before_request(_allow)


def _allow() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    most: int | None = getattr(view, "__body__", None)
    if most is not None:
        request.max_content_length = most
