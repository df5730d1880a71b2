"""Pure statistics of groups of branches: rankings, what counts as evidence, estimators, advantages.

Integers, arrays and small frozen records; it knows no branch and no task. Chance is an argument (`seed`).
"""

from .bradley_terry import Fit, fit
from .cluster import mean_ci_by_task
from .credit import Advantages, advantages
from .effective import rate_over_tasks
from .errors import (
    BudgetTooSmall,
    DuplicateCandidate,
    EmptyGroup,
    LeakError,
    NonFiniteScore,
    NotConverged,
    RankingError,
    UnknownCandidate,
)
from .estimators import PassAtK, best_of_k, pass_at_k, pass_at_k_by_task
from .evidence import CrossFit, JudgeValidity, cross_fit, judge_validity
from .intervals import wilson
from .mann_whitney import MannWhitney, Stratum, mann_whitney
from .paired import mcnemar_exact, mcnemar_mid_p
from .pairs import Halving, Question, RoundRobin, Schedule, Swiss, halving_calls, round_robin_calls
from .places import Places, places
from .position import PositionFit, fit_position
from .power import min_detectable_delta_pp, report_power
from .rank import objective_comparisons, rank
from .records import Candidate, Comparison, Power, RankedCandidate, Ranking
from .schedules import SCHEDULES
from .selection import Chosen, FalseWinners, chosen_rate, chosen_score, false_winner_rate
from .sequential import EProcess, confidence_sequence
from .stopping import Contrast, Decision, Futility, StopRule, unbiased_rate
from .tiers import tier, tiers
from .top_two import TopTwo
from .tree_credit import Segment, TreeAdvantages, tree_advantages
from .wins import OrderedWins, Wins, ordered_wins, win_matrix

__all__ = [
    "SCHEDULES",
    "Advantages",
    "BudgetTooSmall",
    "Candidate",
    "Chosen",
    "Comparison",
    "Contrast",
    "CrossFit",
    "Decision",
    "DuplicateCandidate",
    "EProcess",
    "EmptyGroup",
    "FalseWinners",
    "Fit",
    "Futility",
    "Halving",
    "JudgeValidity",
    "LeakError",
    "MannWhitney",
    "NonFiniteScore",
    "NotConverged",
    "OrderedWins",
    "PassAtK",
    "Places",
    "PositionFit",
    "Power",
    "Question",
    "RankedCandidate",
    "Ranking",
    "RankingError",
    "RoundRobin",
    "Schedule",
    "Segment",
    "StopRule",
    "Stratum",
    "Swiss",
    "TopTwo",
    "TreeAdvantages",
    "UnknownCandidate",
    "Wins",
    "advantages",
    "best_of_k",
    "chosen_rate",
    "chosen_score",
    "confidence_sequence",
    "cross_fit",
    "false_winner_rate",
    "fit",
    "fit_position",
    "halving_calls",
    "judge_validity",
    "mann_whitney",
    "mcnemar_exact",
    "mcnemar_mid_p",
    "mean_ci_by_task",
    "min_detectable_delta_pp",
    "objective_comparisons",
    "ordered_wins",
    "pass_at_k",
    "pass_at_k_by_task",
    "places",
    "rank",
    "rate_over_tasks",
    "report_power",
    "round_robin_calls",
    "tier",
    "tiers",
    "tree_advantages",
    "unbiased_rate",
    "wilson",
    "win_matrix",
]
