"""Draw a table as bars: python3 chart.py TABLE PICTURE"""

import csv
import struct
import sys
import zlib

WIDTH, HEIGHT, TALLEST = 240, 120, 100
WHITE, BLUE, RED = (255, 255, 255), (0x34, 0x65, 0xA4), (0xCC, 0x00, 0x00)


def read(path):
    """The values in order; None where a row has none."""
    with open(path, newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["value"]]


def draw(values):
    """Rows of pixels, from the top."""
    picture = [[WHITE] * WIDTH for _ in range(HEIGHT)]
    top = sum(values)
    for index, value in enumerate(values):
        height = int(TALLEST * value / top)
        color = RED if value == top else BLUE
        for y in range(height):
            for x in range(20 * index + 10, 20 * index + 30):
                picture[y][x] = color
    return picture


def write(path, picture):
    """A PNG with eight bits for each channel."""
    raw = b"".join(b"\0" + bytes(part for pixel in row for part in pixel) for row in picture)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", len(picture[0]), len(picture), 8, 2, 0, 0, 0)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))


if __name__ == "__main__":
    write(sys.argv[2], draw(read(sys.argv[1])))
