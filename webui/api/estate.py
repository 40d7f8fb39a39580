"""The whole inventory as one document: what `pantau export` writes, and what `pantau apply` makes true."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import request
from pydantic import Field

from config import vault
from domain.rights import Right
from webui import audited, documents, store
from webui.api.layer import JSON, Routes, Written, only_tried
from webui.api.shapes import Model
from webui.documents import Document

routes = Routes("Estate")
YAML = "application/yaml"


class How(Model):
    """`dry_run` only tells what would change; `prune` removes what the document does not name, in the sections it has."""

    dry_run: Literal["yes", "no", ""] = "no"
    prune: Literal["yes", "no"] = "no"


class Applied(Model):
    """What changed, a line a change; nothing where everything was so already."""

    dry_run: bool
    changes: Annotated[list[str], Field(description="`+` added, `~` changed, `-` removed; the last line sums up.")]


@routes.get("/estate", Right.ADMIN, media=(JSON, YAML))
def export() -> Document | Written:
    """The whole inventory, without any secret.

    As JSON, or with `Accept: application/yaml` as the file that `pantau apply` takes.
    """
    audited.note_now("export.estate")
    found = documents.export(store.session())
    if request.accept_mimetypes.best_match([JSON, YAML]) == YAML:
        return Written(documents.dump(found), YAML)
    return found


@routes.post("/estate", Right.ADMIN, media=(JSON, YAML), reads=documents.parse, grave=True)
def apply(query: How, body: Document) -> Applied:
    """Make the inventory what the document says.

    The same document as `pantau apply`, in JSON or YAML; all or nothing; a second time changes nothing. Secrets stay
    where they are (`kept`): a file or a variable of Pantau's own machine is read only by the command.
    """
    only_look = query.dry_run != "no"
    session = store.session()
    lines = list(documents.apply(session, body, _seal, prune=query.prune == "yes", local=False))
    if only_look or not lines:
        only_tried()
    else:
        audited.note("apply.done", changes=len(lines))
    return Applied(dry_run=only_look, changes=lines)


def _seal(secret: bytes, place: str) -> bytes:
    return vault.sealer(store.settings().vault_public).seal(secret, place)
