"""Frames between the host and a kernel's PID 1: one kind byte, a four-byte length, the payload.

A request is a REQUEST frame (JSON; its "blob" says how many bytes follow in BLOB frames). An answer is any
number of STDOUT, STDERR or BLOB frames and one RESULT frame (JSON). The host treats what it reads as
untrusted: kinds and lengths are checked, and JSON is parsed into plain data.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER = struct.Struct("!cI")
CHUNK = 256 * 1024
MAX_FRAME = 16 * 1024 * 1024

REQUEST = b"Q"
BLOB = b"B"
CANCEL = b"C"  #: host to kernel: end the running command
STDOUT = b"O"
STDERR = b"E"
RESULT = b"R"
KINDS = frozenset((REQUEST, BLOB, CANCEL, STDOUT, STDERR, RESULT))


class WireError(ValueError):
    """A frame that the protocol does not have."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame; `payload` is at most MAX_FRAME bytes."""
    if len(payload) > MAX_FRAME:
        raise WireError(f"a frame of {len(payload)} bytes is too long; the limit is {MAX_FRAME}")
    return HEADER.pack(kind, len(payload)) + payload


def blob(payload: bytes, kind: bytes = BLOB) -> bytes:
    """Bytes as frames of CHUNK bytes; nothing for nothing."""
    return b"".join(frame(kind, payload[i : i + CHUNK]) for i in range(0, len(payload), CHUNK))


def message(kind: bytes, content: dict[str, Any]) -> bytes:
    """A JSON frame."""
    return frame(kind, json.dumps(content).encode())


def parse_header(header: bytes) -> tuple[bytes, int]:
    """Kind and length; raises `WireError`."""
    kind, length = HEADER.unpack(header)
    if kind not in KINDS or length > MAX_FRAME:
        raise WireError(f"bad frame {kind!r} of {length} bytes")
    return kind, length


def receive(sock: socket.socket) -> tuple[bytes, bytes] | None:
    """The next frame, blocking; None at the end of the stream."""
    header = _exactly(sock, HEADER.size)
    if header is None:
        return None
    kind, length = parse_header(header)
    payload = _exactly(sock, length)
    return None if payload is None else (kind, payload)


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        chunk = sock.recv(min(count - len(parts), 1 << 20))
        if not chunk:
            return None
        parts += chunk
    return bytes(parts)
