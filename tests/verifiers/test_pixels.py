"""Comparing pictures, and reading those that somebody else wrote."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from verifiers.pixels import (
    SHOWN_BYTES,
    Area,
    BadPicture,
    bounded_png,
    clean_png,
    decode,
    difference,
    difference_picture,
    encode,
    png_size,
)

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
pairs = sizes.flatmap(
    lambda size: st.tuples(*[arrays(np.uint8, (*size, 3), elements=st.integers(0, 255)) for _ in range(2)])
)
areas = st.lists(
    st.builds(Area, *[st.floats(-5, 15)] * 2, *[st.floats(0, 15)] * 2),
    max_size=3,
)


@given(pairs, areas, st.integers(0, 255))
def test_a_comparison_does_not_depend_on_the_order(pair, masks, tolerance):
    one, other = pair
    forth, back = difference(one, other, masks, tolerance), difference(other, one, masks, tolerance)
    assert (forth.count, forth.share, forth.largest) == (back.count, back.share, back.largest)
    assert (forth.where == back.where).all()
    assert difference(one, one).count == 0


@given(pairs, areas, areas, st.integers(0, 255))
def test_masks_only_ever_remove_differences(pair, masks, more, tolerance):
    few, many = difference(*pair, masks, tolerance), difference(*pair, [*masks, *more], tolerance)
    assert many.count <= few.count and many.share <= few.share and many.largest <= few.largest
    assert not (many.where & ~few.where).any()


@given(pairs, areas, st.integers(0, 255), st.integers(0, 255))
def test_a_larger_tolerance_never_finds_more(pair, masks, one, other):
    strict, lax = sorted((one, other))
    assert difference(*pair, masks, lax).count <= difference(*pair, masks, strict).count
    assert difference(*pair, masks, 255).count == 0


@given(arrays(np.uint8, sizes.map(lambda s: (*s, 3))))
def test_a_written_picture_is_read_back_as_it_was(pixels):
    assert (decode(encode(pixels)) == pixels).all()
    assert png_size(clean_png(encode(pixels))) == (pixels.shape[1], pixels.shape[0])


@given(st.binary(max_size=200), st.integers(0, 80), st.integers(0, 255))
def test_whatever_the_bytes_are_the_answer_is_a_picture_or_a_reason(data, at, value):
    good = bytearray(encode(np.zeros((3, 3, 3), dtype=np.uint8)))
    good[min(at, len(good) - 1)] = value
    for each in (data, b"\x89PNG\r\n\x1a\n" + data, bytes(good)):
        try:
            assert decode(each).shape[2] == 3
        except BadPicture as error:
            assert str(error)


def saved(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def test_what_is_transparent_stands_on_white_in_every_mode():
    half = Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    assert tuple(decode(saved(half))[0, 0]) == (255, 127, 127)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 255] * 256)
    assert tuple(decode(saved(palette))[0, 0]) == (0, 0, 255)
    assert tuple(decode(saved(palette, transparency=0))[0, 0]) == (255, 255, 255)
    assert tuple(decode(saved(Image.new("1", (2, 2), 1)))[0, 0]) == (255, 255, 255)
    assert tuple(decode(saved(Image.new("LA", (2, 2), (0, 0))))[0, 0]) == (255, 255, 255)
    assert tuple(decode(saved(Image.new("I;16", (2, 2), 0x8000)))[0, 0]) == (128, 128, 128)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no PNG"),
        (b"\xff\xd8\xff\xe0", "no PNG"),
        (png(60_000, 60_000, b""), "60000 x 60000 pixels"),
        (png(0, 5, b""), "0 x 5 pixels"),
        (png(4, 4, zlib.compress(b"\0" * 20))[:-4], "cut off"),
        (png(4, 4, zlib.compress(b"\0" * 20)), "cannot be decoded"),
        (png(4, 4, b"nonsense"), "cannot be decoded"),
        (png(4, 4, b"").replace(b"IEND\xaeB`\x82", b"IEND\xaeB`\x83"), "checksum"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b""), "no header"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * (16 * 1024 * 1024), "larger than"),
    ],
)
def test_a_picture_that_cannot_be_read_says_why(data, words):
    with pytest.raises(BadPicture, match=words):
        decode(data)


def test_only_what_makes_the_picture_is_kept_of_a_file():
    body = zlib.compress((b"\0" + b"\1\2\3" * 4) * 4)
    extra = chunk(b"tEXt", b"Comment\0<script>") + chunk(b"iCCP", b"x\0\0" + zlib.compress(b"profile"))
    cleaned = clean_png(png(4, 4, body, extra) + b"trailing")
    assert b"script" not in cleaned and b"iCCP" not in cleaned and b"trailing" not in cleaned
    assert tuple(decode(cleaned)[3, 3]) == (1, 2, 3)


def test_a_picture_for_the_report_is_bounded():
    noise = np.random.default_rng(7).integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
    data, factor = bounded_png(encode(noise))
    assert len(data) <= SHOWN_BYTES and factor == 2
    assert bounded_png(encode(noise[:50, :50]))[1] == 1


def test_the_difference_picture_shows_what_differs_and_what_was_not_looked_at():
    one, other = np.zeros((4, 4, 3), dtype=np.uint8), np.zeros((4, 4, 3), dtype=np.uint8)
    other[0, 0], other[3, 3] = 255, 255
    masks = [Area(3, 3, 1, 1)]
    shown = difference_picture(one, difference(one, other, masks), masks)
    assert tuple(shown[0, 0]) == (214, 40, 40) and tuple(shown[3, 3]) == (150, 180, 235)
    assert tuple(shown[1, 1]) == (200, 200, 200)


def test_pictures_of_different_sizes_are_not_compared():
    with pytest.raises(ValueError, match="sizes differ"):
        difference(np.zeros((2, 3, 3), dtype=np.uint8), np.zeros((3, 2, 3), dtype=np.uint8))
