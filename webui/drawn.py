"""A picture somebody sent, drawn anew as one small square, or whole: nothing of the file itself is kept.

What comes in may be a bomb, a program or a lie about its own size; so only four formats are tried, the size is asked
before anything is unpacked, and what goes out holds pixels and nothing else.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 256
LONG = 1600
PIXELS = 20_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
Made = TypeVar("Made")
_one = BoundedSemaphore(1)  # 20 million pixels are 80 MB while they are worked on


class BadPicture(Exception):
    """This is no picture we take; `reason` is `size` for too many pixels, else `kind`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Cut:
    """Which square of the picture: its left and upper edge and its side, as shares (0..1) of the shorter side."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Drawing:
    """A JPEG of ours, and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def square(file: bytes, cut: Cut | None = None) -> bytes:
    """The chosen square, or the middle one, as a JPEG of `SIDE` pixels. Raises BadPicture."""
    return _guarded(lambda: _jpeg(_smaller(_paper(file, SIDE), (SIDE, SIDE), cut)))


def whole(file: bytes) -> Drawing:
    """All of it, at most `LONG` pixels each way, as a JPEG. Raises BadPicture."""
    return _guarded(lambda: _whole(file))


def _guarded(draw: Callable[[], Made]) -> Made:
    with _one:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return draw()
        except (
            OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, struct.error, OverflowError,
            MemoryError, UnidentifiedImageError, Image.DecompressionBombError, Warning,
        ) as error:  # fmt: skip
            raise BadPicture("kind") from error


def _whole(file: bytes) -> Drawing:
    paper = _paper(file, LONG)
    share = min(1.0, LONG / max(paper.size))
    size = (max(1, round(paper.width * share)), max(1, round(paper.height * share)))
    return Drawing(_jpeg(paper.resize(size, Image.Resampling.LANCZOS) if share < 1 else paper), *size)


def _paper(file: bytes, side: int) -> Image.Image:
    """What is to be seen of a file, upright and on white."""
    with Image.open(io.BytesIO(file), formats=FORMATS) as opened:
        if opened.width * opened.height > PIXELS or min(opened.size) < 1:
            raise BadPicture("size")
        opened.draft("RGB", (4 * side, 4 * side))  # a JPEG is unpacked no larger than needed
        opened.load()
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    paper.alpha_composite(upright)
    return paper.convert("RGB")


def _smaller(paper: Image.Image, size: tuple[int, int], cut: Cut | None) -> Image.Image:
    return paper.resize(size, Image.Resampling.LANCZOS, box=_box(paper.size, cut))


def _jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=86, optimize=True)
    return out.getvalue()


def _box(size: tuple[int, int], cut: Cut | None) -> tuple[float, float, float, float]:
    """The square within the picture, in pixels, pushed inside where it reaches over an edge."""
    short = min(size)
    if cut is None:
        side, left, top = float(short), (size[0] - short) / 2, (size[1] - short) / 2
    else:
        side = short * min(1.0, max(0.1, cut.size))
        left, top = short * cut.x, short * cut.y
    left, top = (min(max(0.0, at), room - side) for at, room in ((left, size[0]), (top, size[1])))
    return left, top, left + side, top + side
