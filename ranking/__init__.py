"""Pure statistics of groups of branches: tiers, Bradley-Terry strengths, intervals, power, comparisons."""

from .bradley_terry import Fit, fit
from .cluster import bootstrap_t_interval, difference_ci_by_task, mean_ci_by_task, obuchowski_interval
from .clustered import obuchowski, sign_flip
from .compare import PairedComparison, TaskDifference, compare
from .errors import (
    BudgetTooSmall,
    DuplicateKey,
    EmptyGroup,
    NonFiniteScore,
    NotConverged,
    RankingError,
    UnknownCandidate,
    UnpairedKeys,
)
from .intervals import tango, wilson
from .multiple import holm
from .paired import mcnemar_exact, mcnemar_mid_p
from .paired_power import Spread, discordance_at, mcnemar_mdd, mcnemar_power, tasks_needed
from .pairs import SCHEDULES, Halving, Question, RoundRobin, Schedule, Swiss, halving_calls, round_robin_calls
from .power import min_detectable_delta_pp, report_power
from .rank import objective_comparisons, rank
from .records import Candidate, Comparison, Power, RankedCandidate, Ranking
from .tiers import tier, tiers
from .wins import Wins, win_matrix

__all__ = [
    "SCHEDULES",
    "BudgetTooSmall",
    "Candidate",
    "Comparison",
    "DuplicateKey",
    "EmptyGroup",
    "Fit",
    "Halving",
    "NonFiniteScore",
    "NotConverged",
    "PairedComparison",
    "Power",
    "Question",
    "RankedCandidate",
    "Ranking",
    "RankingError",
    "RoundRobin",
    "Schedule",
    "Spread",
    "Swiss",
    "TaskDifference",
    "UnknownCandidate",
    "UnpairedKeys",
    "Wins",
    "bootstrap_t_interval",
    "compare",
    "difference_ci_by_task",
    "discordance_at",
    "fit",
    "halving_calls",
    "holm",
    "mcnemar_exact",
    "mcnemar_mdd",
    "mcnemar_mid_p",
    "mcnemar_power",
    "mean_ci_by_task",
    "min_detectable_delta_pp",
    "objective_comparisons",
    "obuchowski",
    "obuchowski_interval",
    "rank",
    "report_power",
    "round_robin_calls",
    "sign_flip",
    "tango",
    "tasks_needed",
    "tier",
    "tiers",
    "wilson",
    "win_matrix",
]
