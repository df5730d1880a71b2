"""Run-length coding: b"RL", checksum byte, then (count, value) pairs."""

MAGIC = b"RL"
LONGEST = 255


class CodecError(ValueError):
    """The packed data are damaged."""


def checksum(data):
    return sum(data) % 256


def runs(data):
    """(count, value) of each run of equal bytes, however long."""
    found = []
    start = 0
    for position in range(1, len(data)):
        if data[position] != data[start]:
            found.append((position - start, data[start]))
            start = position
    if data:
        found.append((len(data) - start - 1, data[start]))
    return found


def pairs(data):
    """Runs cut into pieces of at most LONGEST."""
    for count, value in runs(data):
        while count >= LONGEST:
            yield LONGEST - 1, value
            count -= LONGEST
        if count:
            yield count, value


def encode(data):
    body = bytearray()
    for count, value in pairs(data):
        body.append(count)
        body.append(value)
    return MAGIC + bytes([checksum(data)]) + bytes(body)


def decode(packed):
    if packed[:2] != MAGIC:
        raise CodecError("bad header")
    if len(packed) < 3 or len(packed) % 2 == 0:
        raise CodecError("truncated")
    expected = packed[2]
    data = bytearray()
    for position in range(3, len(packed), 2):
        count, value = packed[position], packed[position + 1]
        if count == 0:
            raise CodecError(f"empty run at {position}")
        data.extend([value] * count)
    if checksum(data) != expected:
        raise CodecError("wrong checksum")
    return bytes(data)


def ratio(data):
    """Packed size divided by original size; 1.0 for nothing."""
    return len(encode(data)) / len(data) if data else 1.0
