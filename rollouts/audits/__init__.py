"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .contamination import ContaminationAudit, audit_contamination, print_contamination
from .corpus import Unread, read_corpus
from .judge import JudgeAudit, LabelledPair, audit_judge, labelled_pairs, pairs_from_labels, print_judge
from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = [
    "ContaminationAudit",
    "JudgeAudit",
    "LabelledPair",
    "StrengthAudit",
    "Unread",
    "audit_contamination",
    "audit_judge",
    "audit_tasks",
    "labelled_pairs",
    "pairs_from_labels",
    "print_contamination",
    "print_judge",
    "print_strength",
    "read_corpus",
]
