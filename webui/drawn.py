"""A picture somebody sent, drawn anew as one small square: nothing of the file itself is kept.

What comes in may be a bomb, a program or a lie about its own size; so only four formats are tried, the size is asked
before anything is unpacked, and what goes out holds pixels and nothing else.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from threading import BoundedSemaphore

from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 256
PIXELS = 20_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
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


def square(file: bytes, cut: Cut | None = None) -> bytes:
    """The chosen square, or the middle one, as a JPEG of `SIDE` pixels. Raises BadPicture."""
    with _one:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return _drawn(file, cut)
        except (
            OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, struct.error, OverflowError,
            MemoryError, UnidentifiedImageError, Image.DecompressionBombError, Warning,
        ) as error:  # fmt: skip
            raise BadPicture("kind") from error


def _drawn(file: bytes, cut: Cut | None) -> bytes:
    with Image.open(io.BytesIO(file), formats=FORMATS) as opened:
        if opened.width * opened.height > PIXELS or min(opened.size) < 1:
            raise BadPicture("size")
        opened.draft("RGB", (4 * SIDE, 4 * SIDE))  # a JPEG is unpacked no larger than needed
        opened.load()
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    paper.alpha_composite(upright)
    small = paper.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=_box(upright.size, cut))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=86, optimize=True)
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
