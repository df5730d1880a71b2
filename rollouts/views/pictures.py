"""The pictures of a report, inside the page itself, up to a bound for the whole page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from verifiers import Evidence, Verdict

from ..store.evidence import EvidenceStore

PAGE_BYTES = 12 * 1024 * 1024  #: of all pictures of one page
MOST = 24  #: pictures of one branch


class Pictures:
    """Hands out pictures as text for the page's script, until the bound is reached; then only their names."""

    def __init__(self, run_dir: Path, page_bytes: int = PAGE_BYTES) -> None:
        self._store = EvidenceStore(run_dir / "evidence")
        self._left = page_bytes

    def of(self, verdict: Verdict | None) -> list[dict[str, Any]]:
        """name, size in bytes, file below the run directory, PNG in base64 ("" when it is not shown)."""
        found = [] if verdict is None else list(_evidence(verdict))[:MOST]
        return [self._one(evidence) for evidence in found]

    def _one(self, evidence: Evidence) -> dict[str, Any]:
        data, path = self._store.read(evidence), self._store.path(evidence)
        shown = data is not None and len(data) <= self._left
        if data is not None and shown:
            self._left -= len(data)
        return {
            "name": evidence.name[:200],
            "size": evidence.size,
            "file": f"evidence/{path.name}" if data is not None and path is not None else "",
            "png": base64.b64encode(data).decode() if data is not None and shown else "",
        }


def _evidence(verdict: Verdict) -> Iterator[Evidence]:
    yield from verdict.evidence
    for part in verdict.parts:
        yield from _evidence(part)
