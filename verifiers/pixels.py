"""Pictures: read safely, compare on RGB, show the difference.

A PNG that the work wrote is untrusted. `clean_png` reads its chunks itself (bounds on bytes and pixels, and
the checksums, before anything is unpacked) and keeps the four kinds that make the picture. Only that is
given to Pillow, restricted to PNG: no colour profile, no text, no animation, no other format's decoder is
reached.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Pixels = NDArray[np.uint8]  #: (height, width, 3)

MAX_BYTES = 16 * 1024 * 1024  #: of one file
MAX_PIXELS = 4096 * 4096
SHOWN_BYTES = 2 * 1024 * 1024  #: of a picture kept as evidence

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


class BadPicture(ValueError):
    """Not a PNG that can be compared. Says why, in half a sentence."""


@dataclass(frozen=True)
class Area:
    """A rectangle in pixels; it may reach beyond the picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Difference:
    """What two pictures of one size differ in."""

    count: int  #: pixels that differ by more than the tolerance, outside the masks
    share: float  #: of all pixels of the picture
    largest: int  #: difference of one channel, outside the masks
    where: NDArray[np.bool_]  #: (height, width)


def clean_png(data: bytes) -> bytes:
    """The same picture with only what makes it. Raises `BadPicture`."""
    if len(data) > MAX_BYTES:
        raise BadPicture(f"it is larger than {MAX_BYTES} bytes")
    kept, ended = bytearray(_SIGNATURE), False
    for number, (kind, body) in enumerate(_chunks(data)):
        if number == 0:
            _check_header(kind, body)
        elif kind == b"IHDR":
            raise BadPicture("it has two headers")
        if kind in _KEPT:
            kept += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        ended = kind == b"IEND"
        if ended:
            break
    if not ended:
        raise BadPicture("it is cut off")
    return bytes(kept)


def png_size(data: bytes) -> tuple[int, int]:
    """(width, height) as the header of a cleaned PNG says."""
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def decode(data: bytes) -> Pixels:
    """RGB of a PNG, what is transparent on white. Raises `BadPicture`."""
    data = clean_png(data)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            if image.mode == "I" or image.mode.startswith("I;"):  # 16 bits of grey; the upper ones are shown
                grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            if image.mode == "RGB" and "transparency" not in image.info:
                return np.array(image)
            on_white = Image.new("RGBA", image.size, "white")
            on_white.alpha_composite(image.convert("RGBA"))
            return np.array(on_white.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, zlib.error) as error:
        raise BadPicture(f"it cannot be decoded ({str(error)[:100]})") from None


def encode(pixels: Pixels) -> bytes:
    """A PNG, quick rather than small."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    return out.getvalue()


def difference(one: Pixels, other: Pixels, masks: Sequence[Area] = (), tolerance: int = 0) -> Difference:
    """Compare two pictures of one size; a pixel differs when a channel differs by more than `tolerance`.

    Symmetric; masks only ever remove differences, and so does a larger tolerance. Raises `ValueError` when
    the sizes differ: pictures are never scaled to fit.
    """
    if one.shape != other.shape:
        raise ValueError(f"sizes differ: {one.shape} and {other.shape}")
    apart = np.maximum(one, other) - np.minimum(one, other)
    largest = apart.max(axis=2)
    largest[covered(one.shape[:2], masks)] = 0
    where = largest > tolerance
    count = int(where.sum())
    return Difference(count, count / max(1, where.size), int(largest.max(initial=0)), where)


def covered(shape: tuple[int, ...], masks: Sequence[Area]) -> NDArray[np.bool_]:
    """Which pixels of a picture (height, width) masks cover, each rounded outwards."""
    cover = np.zeros(shape[:2], dtype=np.bool_)
    for mask in masks:
        top, left = max(0, int(np.floor(mask.y))), max(0, int(np.floor(mask.x)))
        bottom, right = int(np.ceil(mask.y + mask.height)), int(np.ceil(mask.x + mask.width))
        cover[top : max(top, bottom), left : max(left, right)] = True
    return cover


def difference_picture(seen: Pixels, found: Difference, masks: Sequence[Area] = ()) -> Pixels:
    """The picture paled, what differs in red, what was not compared in blue."""
    grey = seen.mean(axis=2, keepdims=True)
    shown = np.repeat((200 + grey * (55 / 255)).astype(np.uint8), 3, axis=2)
    shown[covered(seen.shape[:2], masks)] = (150, 180, 235)
    shown[found.where] = (214, 40, 40)
    return shown


def bounded_png(data: bytes) -> tuple[bytes, int]:
    """(a cleaned PNG of at most 2 MB, by how much it was made smaller: 1, 2, 4 ...). Raises `BadPicture`."""
    data, factor = clean_png(data), 1
    while len(data) > SHOWN_BYTES:
        factor *= 2
        data = encode(decode(data)[::2, ::2])
    return data, factor


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not data.startswith(_SIGNATURE):
        raise BadPicture("it is no PNG")
    at = len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            raise BadPicture("it is cut off")
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body, end = data[at + 8 : at + 8 + size], at + 12 + size
        if end > len(data):
            raise BadPicture("it is cut off")
        if struct.unpack(">I", data[end - 4 : end])[0] != zlib.crc32(kind + body):
            raise BadPicture("a checksum in it is wrong")
        yield kind, body
        at = end


def _check_header(kind: bytes, body: bytes) -> None:
    if kind != b"IHDR" or len(body) != 13:
        raise BadPicture("it has no header")
    width, height = struct.unpack(">II", body[:8])
    if not 0 < width * height <= MAX_PIXELS:
        raise BadPicture(f"{width} x {height} pixels are not between 1 and {MAX_PIXELS}")
