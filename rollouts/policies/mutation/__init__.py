"""The embedded default policy: program repair by mutation, without a language model.

Read `agent.py` first: one turn from top to bottom. What it knows comes from the conversation (`history.py`);
where the fault may be, from coverage (`tracer.py`, `spectrum.py`) and messages (`hints.py`, `outcome.py`);
what could be changed, from the syntax tree (`expressions.py`, `calls.py`, `statements.py`, or `lines.py` for
other languages), gathered in `candidates.py`; what is chosen, from `weights.py`, which can be learned.
"""

from __future__ import annotations

from .agent import MutationPolicy
from .weights import DEFAULTS, NAMES, gradient

__all__ = ["DEFAULTS", "NAMES", "MutationPolicy", "gradient"]
