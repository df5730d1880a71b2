"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .judge import JudgeAudit, LabelledPair, audit_judge, labelled_pairs, pairs_from_labels, print_judge
from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = [
    "JudgeAudit",
    "LabelledPair",
    "StrengthAudit",
    "audit_judge",
    "audit_tasks",
    "labelled_pairs",
    "pairs_from_labels",
    "print_judge",
    "print_strength",
]
