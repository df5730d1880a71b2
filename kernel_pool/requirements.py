"""What a run asks of its back-end, compared with what the back-end gives, before anything starts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .kernel import Capabilities, Network, Restores

_MORE: dict[Restores, int] = {"files": 0, "files+env": 1, "memory": 2}


@dataclass(frozen=True)
class Requirements:
    """What has to hold. The default asks for a sandbox without network."""

    isolated: bool = True
    network: Network | None = "none"  #: None: any
    restores: Restores = "files"  #: at least
    limits: Collection[str] = ()  #: fields of `Limits` that have to be enforced


def unmet(given: Capabilities, wanted: Requirements) -> list[str]:
    """What is asked for and not given, one sentence each with the name of what asks; empty: all is well."""
    missing = []
    if wanted.isolated and not given.isolated:
        missing.append("gives no isolation")
    if wanted.network is not None and wanted.network != given.network:
        missing.append(f"gives commands network {given.network}, not {wanted.network}")
    if _MORE[wanted.restores] > _MORE[given.restores]:
        missing.append(f"restores {given.restores}, not {wanted.restores}")
    missing += [f"does not hold the limit {name}" for name in wanted.limits if name not in given.enforces]
    return missing
