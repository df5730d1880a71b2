"""Constraints: typed demands on a text, checked without a model.

    constraints = read_constraints([{"id": "short", "method": "length_constraints:number_words",
                                     "args": {"num_words": 50, "relation": "less than"}}])
    found = evaluate(constraints, {None: Artifact.of("Few words.")})
    found.passed, found.violations

Start with `record.py`, then `check.py`; `ifeval/` holds IFEval's 25 instruction types.
"""

from ..errors import ConstraintError, ConstraintProblem
from .check import Artifact, Check, Finding, Span, is_empty
from .evaluate import Compliance, evaluate, evaluate_async
from .methods import IFEVAL_TYPES, METHODS
from .record import Constraint, ConstraintSet, Repair, read_constraints

__all__ = [
    "IFEVAL_TYPES",
    "METHODS",
    "Artifact",
    "Check",
    "Compliance",
    "Constraint",
    "ConstraintError",
    "ConstraintProblem",
    "ConstraintSet",
    "Finding",
    "Repair",
    "Span",
    "evaluate",
    "evaluate_async",
    "is_empty",
    "read_constraints",
]
