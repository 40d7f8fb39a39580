"""The document that describes the API, and the page that shows it to people; nothing of it comes from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import metadata
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request

from webui import access
from webui.api import openapi
from webui.api.layer import Operation


def register(blueprint: Blueprint, operations: Sequence[Operation], home: str) -> None:
    """Give the document and its page their routes."""

    @cache
    def made() -> dict[str, Any]:
        return openapi.document(operations, metadata.version("pantau"), home)

    @access.signed_in
    def document() -> Response:
        """The OpenAPI 3.1 document."""
        answer = jsonify(made())
        answer.headers["Cache-Control"] = "private, no-cache"
        answer.add_etag()
        return answer.make_conditional(request)  # type: ignore[return-value]

    @access.signed_in
    def page() -> str:
        """The same for people."""
        about = [line.lstrip("* ").replace("*", "").replace("`", "") for line in openapi.ABOUT.splitlines() if line]
        return render_template("api/docs.html", active="profile.index", document=made(), about=about, say=_say)

    blueprint.add_url_rule("/openapi.json", "document", document)
    blueprint.add_url_rule("/docs", "page", page)


def _say(schema: dict[str, Any]) -> str:
    """What a schema takes, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_say(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"[{_say(schema.get('items', {}))}]"
    return str(schema.get("const", schema.get("format", schema.get("type", "anything"))))
