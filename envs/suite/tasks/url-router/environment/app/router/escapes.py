"""Percent escapes, as far as paths need them."""

UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def encode(text):
    return "".join(chr(b) if b in UNRESERVED else f"%{b:02X}" for b in text.encode())


def decode(text):
    parts = text.split("%")
    data = bytearray(parts[0].encode())
    for part in parts[1:]:
        try:
            data.append(int(part[:2], 16))
            data += part[2:].encode()
        except ValueError:
            data += b"%" + part.encode()
    return data.decode("utf-8", "replace")
