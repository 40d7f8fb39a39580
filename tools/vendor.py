"""Fetch what the pages need from other people's packages, once, by developers: `python tools/vendor.py`.

Every package is pinned by version and by the integrity hash of its archive; anything else is refused. What
is fetched is committed together with its licence, so that users never need Node and no page ever asks the
outside world for anything. Needs the `npm` and `node` commands.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "webui" / "static"


@dataclass(frozen=True)
class Package:
    """One archive: `files` are copied as they are; `licence` names the terms for THIRD_PARTY.md."""

    name: str
    version: str
    integrity: str
    licence: str
    what: str
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where it lives here; the version in the path is what makes eternal caching safe."""
        return STATIC / "vendor" / f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"


PLOTLY = Package(
    name="plotly.js-cartesian-dist-min",
    version="4.1.1",  # the one the Python package `plotly` carries; a test compares them
    integrity="sha512-o8GrFeusncwBIxbBynRJpY4pkgVB6caM+JLpwrLYbbsO7dZ8FJ+SVN2Fr+L7kiG/Z6w4P5O0Jus/Qr5EefHVeg==",
    licence="MIT",
    what="the charts on the pages where a person inspects a curve",
    files=("plotly-cartesian.min.js",),
)
ICONS = Package(
    name="@tabler/icons",
    version="3.51.0",
    integrity="sha512-0pinvPZz7YeX+OSfxuEAbnEPWbocVXW5iU8h5lh41pYG8sZuQfpWECC980lxOT0clGIcNGn8xsBr+zKaRGdA/g==",
    licence="MIT",
    what="the outline icons in webui/static/sprite.svg (the six status shapes there are our own)",
)

OUTLINES = [
    "home",
    "server-2",
    "alert-circle",
    "map-pin",
    "messages",
    "report-analytics",
    "search",
    "user",
    "users",
    "logout",
    "login-2",
    "language",
    "sun",
    "moon",
    "device-desktop",
    "plus",
    "x",
    "check",
    "chevron-right",
    "chevron-down",
    "arrow-left",
    "refresh",
    "plug-connected",
    "plug-connected-x",
    "clock",
    "info-circle",
    "settings",
    "key",
    "filter",
    "calendar",
    "bell",
    "lock",
    "trash",
    "pencil",
    "external-link",
    "download",
    "player-play",
    "player-pause",
    "help",
    "copy",
    "list-check",
    "heartbeat",
    "dots",
    "menu-2",
]

SHAPES = STATIC / "shapes.svg"
SPRITE = STATIC / "sprite.svg"


def main() -> None:
    """Fetch, check, copy, compress, draw the sprite, and write THIRD_PARTY.md."""
    with tempfile.TemporaryDirectory() as scratch:
        for package in (PLOTLY, ICONS):
            archive = fetch(package, Path(scratch))
            copy(package, archive)
        SPRITE.write_text(sprite(archive), encoding="utf-8")
    (ROOT / "THIRD_PARTY.md").write_text(credits((PLOTLY, ICONS)), encoding="utf-8")


def fetch(package: Package, scratch: Path) -> tarfile.TarFile:
    """The archive of `package`, opened; refuses one whose hash is not the pinned one."""
    spec = f"{package.name}@{package.version}"
    done = subprocess.run(["npm", "pack", "--silent", spec], cwd=scratch, check=True, capture_output=True, text=True)
    path = scratch / done.stdout.strip().splitlines()[-1]
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != package.integrity:
        raise SystemExit(f"{spec} is not the archive that was pinned: expected {package.integrity}, got {found}.")
    return tarfile.open(path)


def copy(package: Package, archive: tarfile.TarFile) -> None:
    """Put the wanted files, their compressed twins and the licence into the package's own folder."""
    shutil.rmtree(package.folder, ignore_errors=True)
    package.folder.mkdir(parents=True)
    for name in (*package.files, "LICENSE"):
        target = package.folder / Path(name).name
        target.write_bytes(member(archive, name))
        if name != "LICENSE":
            target.with_name(target.name + ".gz").write_bytes(gzip.compress(target.read_bytes(), 9, mtime=0))
            subprocess.run(["node", "-e", BROTLI, str(target)], check=True)


BROTLI = """
const {readFileSync, writeFileSync} = require('fs'), zlib = require('zlib'), name = process.argv[1];
writeFileSync(name + '.br', zlib.brotliCompressSync(readFileSync(name), {params: {
  [zlib.constants.BROTLI_PARAM_QUALITY]: 11, [zlib.constants.BROTLI_PARAM_LGWIN]: 22}}));
"""


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """One file of an npm archive, where everything lies under `package/`."""
    opened = archive.extractfile(f"package/{name}")
    if opened is None:
        raise SystemExit(f"the archive holds no file {name}.")
    return opened.read()


def sprite(archive: tarfile.TarFile) -> str:
    """Our status shapes and the chosen outlines as one SVG of symbols, to be used by `<use href=#...>`."""
    shapes = "".join(re.findall(r"<symbol.*?</symbol>", SHAPES.read_text(encoding="utf-8"), re.DOTALL))
    outlines = "\n".join(symbol(name, member(archive, f"icons/outline/{name}.svg").decode()) for name in OUTLINES)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{shapes}\n{outlines}\n</svg>\n'


def symbol(name: str, drawing: str) -> str:
    """One outline as a symbol: strokes take the colour of the text around."""
    inside = "".join(re.findall(r"<(?:path|circle|rect|line|polyline)[^>]*/>", drawing))
    return (
        f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round">{inside}</symbol>'
    )


def credits(packages: tuple[Package, ...]) -> str:
    """THIRD_PARTY.md: whose work the pages carry, and under which terms."""
    rows = "\n".join(
        f"| {p.name} | {p.version} | {p.licence} | {p.what} | `{(p.folder / 'LICENSE').relative_to(ROOT)}` |"
        for p in packages
    )
    return (
        "# Work of others carried in this repository\n\n"
        "Written by `tools/vendor.py`. Python packages are not carried; they are named in `uv.lock`.\n\n"
        f"| package | version | licence | used for | licence text |\n|---|---|---|---|---|\n{rows}\n"
    )


if __name__ == "__main__":
    main()
