"""What every back-end promises, one function per behaviour; run by `kernel_pool.selfcheck`.

Commands use paths relative to the workdir, so that a back-end without a root directory of its own can keep the
contract as well.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from . import commands, files, life, limits, states
from .scene import Scene

Behaviour = Callable[[Scene], Coroutine[Any, Any, None]]

#: name -> behaviour, in the order in which they are checked.
BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for module in (life, commands, limits, files, states)
    for behaviour in module.BEHAVIOURS
}

__all__ = ["BEHAVIOURS", "Behaviour", "Scene"]
