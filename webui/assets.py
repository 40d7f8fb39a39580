"""The files every page needs: addressed by content, compressed once, cached for ever."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, request, url_for

from webui import access

STATIC = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
TEXT = {".css", ".js", ".svg", ".json", ".webmanifest"}

blueprint = Blueprint("assets", __name__)


@dataclass(frozen=True)
class Asset:
    """One file of ours: `stamp` is the start of its SHA-256, `bodies` the file by content coding."""

    stamp: str
    kind: str
    bodies: dict[str, bytes]


class Shelf:
    """All static files, read once at start: what is not on the shelf cannot be asked for."""

    def __init__(self, root: Path = STATIC) -> None:
        self._root = root
        self._assets = {path.relative_to(root).as_posix(): _read(path) for path in _files(root)}

    def get(self, name: str) -> Asset | None:
        """The asset of that name, or None."""
        return self._assets.get(name)

    def stamp(self, name: str) -> str:
        """The content stamp that goes into the address of `name`; an unknown name is our own mistake."""
        return self._assets[name].stamp


def install(app: Flask) -> None:
    """Serve the shelf, and give templates `asset('pantau.css')`."""
    app.extensions["shelf"] = shelf = Shelf()
    app.register_blueprint(blueprint)
    app.jinja_env.globals["asset"] = lambda name: url_for("assets.give", stamp=shelf.stamp(name), name=name)


@blueprint.get("/static/<stamp>/<path:name>")
@access.public
def give(stamp: str, name: str) -> Response:
    """One static file in the best coding the browser takes."""
    from flask import current_app

    asset: Asset | None = current_app.extensions["shelf"].get(name)
    if asset is None or asset.stamp != stamp:
        abort(404)
    coding = request.accept_encodings.best_match([c for c in ("br", "gzip") if c in asset.bodies]) or "identity"
    answer = Response(asset.bodies[coding], mimetype=asset.kind)
    answer.headers["Cache-Control"] = FOR_EVER
    answer.headers["Vary"] = "Accept-Encoding"
    if coding != "identity":
        answer.headers["Content-Encoding"] = coding
    answer.set_etag(f"{stamp}-{coding}")
    answer.make_conditional(request)
    return answer


def _files(root: Path) -> list[Path]:
    return [p for p in sorted(root.rglob("*")) if p.is_file() and p.suffix not in {".gz", ".br"}]


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    bodies = {"identity": body}
    for coding, suffix in (("br", ".br"), ("gzip", ".gz")):
        twin = path.with_name(path.name + suffix)
        if twin.exists():
            bodies[coding] = twin.read_bytes()
    if path.suffix in TEXT and "gzip" not in bodies:
        bodies["gzip"] = gzip.compress(body, 9, mtime=0)
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return Asset(hashlib.sha256(body).hexdigest()[:12], kind or "application/octet-stream", bodies)
