"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .claim import ClaimReport, audit_claim, print_claim
from .claim_items import Reading
from .claim_readers import Results, read_results
from .judge import JudgeAudit, LabelledPair, audit_judge, labelled_pairs, pairs_from_labels, print_judge
from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = [
    "ClaimReport",
    "JudgeAudit",
    "LabelledPair",
    "Reading",
    "Results",
    "StrengthAudit",
    "audit_claim",
    "audit_judge",
    "audit_tasks",
    "labelled_pairs",
    "pairs_from_labels",
    "print_claim",
    "print_judge",
    "print_strength",
    "read_results",
]
