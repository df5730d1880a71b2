"""How the agent inside answers: one line of ASCII a frame, because E2B passes output on as text.

o<base64>   stdout of the command          b<base64>   bytes asked for
e<base64>   stderr of the command          r<base64>   the result: zlib-compressed JSON, the last frame
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import termios
import time
import zlib
from typing import Any

CHUNK = 48 * 1024  # bytes of content in one frame
_UNREAD_S = 5.0


def send(kind: bytes, content: bytes) -> None:
    """Write `content` as frames of one kind."""
    for start in range(0, len(content), CHUNK):
        _write(kind + base64.b64encode(content[start : start + CHUNK]) + b"\n")


def send_result(result: dict[str, Any]) -> None:
    """Write the last frame."""
    _write(b"r" + base64.b64encode(zlib.compress(json.dumps(result).encode(), 1)) + b"\n")
    _wait_until_read()


def _wait_until_read() -> None:
    """envd closes its end when this process exits, whether it has read everything or not."""
    waiting = bytearray(4)
    deadline = time.monotonic() + _UNREAD_S
    while time.monotonic() < deadline:
        try:
            fcntl.ioctl(1, termios.FIONREAD, waiting)
        except OSError:
            return  # no pipe
        if not any(waiting):
            return
        time.sleep(0.002)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
