"""Signals about a finished piece of work."""

from .submission import Submission, TestPlan
from .verdict import CheckResult, Outcome, Verdict
from .verifier import Verifier

__all__ = ["CheckResult", "Outcome", "Submission", "TestPlan", "Verdict", "Verifier"]
