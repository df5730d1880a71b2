"""Pure statistics of groups of branches: rankings, comparisons, what counts as evidence, estimators, advantages.

Integers, arrays and small frozen records; it knows no branch and no task. Chance is an argument (`seed`).
"""

from .bradley_terry import Fit, fit
from .cluster import bootstrap_t_interval, difference_ci_by_task, mean_ci_by_task, obuchowski_interval
from .clustered import obuchowski, sign_flip, sign_flip_attainable, sign_flip_interval
from .compare import PairedComparison, TaskDifference, compare
from .credit import Advantages, advantages
from .errors import (
    BudgetTooSmall,
    DuplicateCandidate,
    DuplicateKey,
    EmptyGroup,
    LeakError,
    NonFiniteScore,
    NotConverged,
    RankingError,
    UnknownCandidate,
    UnpairedKeys,
)
from .estimators import PassAtK, best_of_k, pass_at_k, pass_at_k_by_task
from .evidence import CrossFit, JudgeValidity, cross_fit, judge_validity
from .intervals import tango, wilson
from .mann_whitney import MannWhitney, Stratum, mann_whitney
from .multiple import holm
from .paired import mcnemar_exact, mcnemar_mid_p
from .paired_power import Spread, discordance_at, mcnemar_mdd, mcnemar_power, tasks_needed
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
    "DuplicateKey",
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
    "PairedComparison",
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
    "Spread",
    "StopRule",
    "Stratum",
    "Swiss",
    "TaskDifference",
    "TopTwo",
    "TreeAdvantages",
    "UnknownCandidate",
    "UnpairedKeys",
    "Wins",
    "advantages",
    "best_of_k",
    "bootstrap_t_interval",
    "chosen_rate",
    "chosen_score",
    "compare",
    "confidence_sequence",
    "cross_fit",
    "difference_ci_by_task",
    "discordance_at",
    "false_winner_rate",
    "fit",
    "fit_position",
    "halving_calls",
    "holm",
    "judge_validity",
    "mann_whitney",
    "mcnemar_exact",
    "mcnemar_mdd",
    "mcnemar_mid_p",
    "mcnemar_power",
    "mean_ci_by_task",
    "min_detectable_delta_pp",
    "objective_comparisons",
    "obuchowski",
    "obuchowski_interval",
    "ordered_wins",
    "pass_at_k",
    "pass_at_k_by_task",
    "places",
    "rank",
    "report_power",
    "round_robin_calls",
    "sign_flip",
    "sign_flip_attainable",
    "sign_flip_interval",
    "tango",
    "tasks_needed",
    "tier",
    "tiers",
    "tree_advantages",
    "unbiased_rate",
    "wilson",
    "win_matrix",
]
