"""A loopback server and back-ends over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from servers.e2b import E2BServer

from kernel_pool.backends.e2b_cloud import E2BBackend


def back_end(server: E2BServer, state_dir: Path, **options: Any) -> E2BBackend:
    """A back-end over the server, without the pace that a real account needs."""
    return E2BBackend(
        state_dir, **{"creates_per_s": 1000.0, "max_running": 50, **server.connection, **options}
    )


@asynccontextmanager
async def served(
    tmp_path: Path, *, of_server: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[E2BServer, E2BBackend]]:
    """A server and a back-end over it, both closed at the end; nothing may be left on the server."""
    async with E2BServer(tmp_path, **(of_server or {})) as server:
        made = back_end(server, tmp_path / "state", **options)
        try:
            yield server, made
        finally:
            await made.close()
            assert server.live == {}
