"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .compare import (
    DesignPlan,
    RunComparison,
    compare_runs,
    plan_from_assumptions,
    plan_from_runs,
    read_outcomes,
)
from .compare_told import headline, print_comparisons, print_plan
from .judge import JudgeAudit, LabelledPair, audit_judge, labelled_pairs, pairs_from_labels, print_judge
from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = [
    "DesignPlan",
    "JudgeAudit",
    "LabelledPair",
    "RunComparison",
    "StrengthAudit",
    "audit_judge",
    "audit_tasks",
    "compare_runs",
    "headline",
    "labelled_pairs",
    "pairs_from_labels",
    "plan_from_assumptions",
    "plan_from_runs",
    "print_comparisons",
    "print_judge",
    "print_plan",
    "print_strength",
    "read_outcomes",
]
