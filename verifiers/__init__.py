"""Signals about a finished piece of work.

A verifier takes a `Submission` and says a `Verdict`; several become one in a `Pipeline`. Start with
`verifier.py`, then `build.py`.
"""

from .declared import declared
from .errors import BadPipeline, EmptyPipeline, VerifierError
from .pipeline import Part, Pipeline, guarded
from .registry import VERIFIERS, verifier
from .submission import Submission, TestPlan
from .verdict import CheckResult, Evidence, Outcome, Verdict
from .verifier import Verifier

__all__ = [
    "VERIFIERS",
    "BadPipeline",
    "CheckResult",
    "EmptyPipeline",
    "Evidence",
    "Outcome",
    "Part",
    "Pipeline",
    "Submission",
    "TestPlan",
    "Verdict",
    "Verifier",
    "VerifierError",
    "declared",
    "guarded",
    "verifier",
]
