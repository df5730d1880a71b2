"""What a back-end that lives elsewhere offers beside `Backend`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class RemoteBackend(Protocol):
    """A back-end that works only as long as a service answers."""

    async def reach(self) -> None:
        """Whether the service answers and takes the credentials. Raises `BackendUnavailable` with the mend."""
        ...
