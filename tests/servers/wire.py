"""HTTP/1.1 as far as an engine's API needs it, and the frames of a hijacked connection."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

SWITCHING = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)


@dataclass(frozen=True)
class Request:
    """One request, read whole; `path` is without the API's version."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes


async def request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    line = await reader.readline()
    if not line:
        return None
    method, target, _version = line.decode("latin-1").split()
    headers: dict[str, str] = {}
    while text := (await reader.readline()).decode("latin-1").strip():
        name, _colon, value = text.partition(":")
        headers[name.lower()] = value.strip()
    parts = urlsplit(target)
    values = parse_qs(parts.query, keep_blank_values=True, errors="surrogateescape")
    path = re.sub(r"^/v1\.\d+", "", unquote(parts.path))
    return Request(
        method, path, {name: found[0] for name, found in values.items()}, await _body(reader, headers)
    )


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length") or 0))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def answer(status: int, content: object, headers: dict[str, str] | None = None) -> bytes:
    """A whole response: bytes as they are, a list of bytes in chunks, None as nothing, anything else as JSON."""
    chunked = isinstance(content, list) and bool(content) and isinstance(content[0], bytes)
    if chunked:
        assert isinstance(content, list)
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*content, b""])
    elif isinstance(content, bytes):
        body = content
    else:
        body = b"" if content is None else json.dumps(content).encode()
    kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [f"HTTP/1.1 {status} Told", f"Content-Type: {kind}", length]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def frame(stream: int, data: bytes) -> bytes:
    """Output on a hijacked connection: 1 is stdout, 2 is stderr."""
    return struct.pack(">BxxxL", stream, len(data)) + data
