"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .claim import ClaimReport, audit_claim, print_claim
from .claim_items import Reading
from .claim_readers import Results, read_results
from .compare import (
    DesignPlan,
    RunComparison,
    compare_runs,
    plan_from_assumptions,
    plan_from_runs,
    read_outcomes,
)
from .compare_told import headline, print_comparisons, print_plan
from .contamination import ContaminationAudit, audit_contamination, print_contamination
from .corpus import Unread, read_corpus
from .judge import JudgeAudit, LabelledPair, audit_judge, labelled_pairs, pairs_from_labels, print_judge
from .ranking import RankingAudit, audit_ranking, print_ranking
from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = [
    "ClaimReport",
    "ContaminationAudit",
    "DesignPlan",
    "JudgeAudit",
    "LabelledPair",
    "RankingAudit",
    "Reading",
    "Results",
    "RunComparison",
    "StrengthAudit",
    "Unread",
    "audit_claim",
    "audit_contamination",
    "audit_judge",
    "audit_ranking",
    "audit_tasks",
    "compare_runs",
    "headline",
    "labelled_pairs",
    "pairs_from_labels",
    "plan_from_assumptions",
    "plan_from_runs",
    "print_claim",
    "print_comparisons",
    "print_contamination",
    "print_judge",
    "print_plan",
    "print_ranking",
    "print_strength",
    "read_corpus",
    "read_outcomes",
    "read_results",
]
