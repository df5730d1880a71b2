"""How the agent inside answers: one line of ASCII a frame, because E2B passes output on as text.

o<base64>   stdout of the command          b<base64>   bytes asked for
e<base64>   stderr of the command          r<base64>   the result: zlib-compressed JSON, the last frame
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import Any

CHUNK = 48 * 1024  # bytes of content in one frame


def send(kind: bytes, content: bytes) -> None:
    """Write `content` as frames of one kind."""
    for start in range(0, len(content), CHUNK):
        _write(kind + base64.b64encode(content[start : start + CHUNK]) + b"\n")


def send_result(result: dict[str, Any]) -> None:
    """Write the last frame."""
    _write(b"r" + base64.b64encode(zlib.compress(json.dumps(result).encode(), 1)) + b"\n")


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
