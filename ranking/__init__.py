"""Pure statistics of groups of branches: tiers, Bradley-Terry strengths, intervals, power."""

from .bradley_terry import Fit, fit
from .cluster import mean_ci_by_task
from .errors import (
    BudgetTooSmall,
    EmptyGroup,
    NonFiniteScore,
    NotConverged,
    RankingError,
    UnknownCandidate,
)
from .intervals import wilson
from .paired import mcnemar_exact, mcnemar_mid_p
from .pairs import Halving, Question, RoundRobin, Schedule, Swiss, halving_calls, round_robin_calls
from .power import min_detectable_delta_pp, report_power
from .rank import objective_comparisons, rank
from .records import Candidate, Comparison, Power, RankedCandidate, Ranking
from .schedules import SCHEDULES
from .tiers import tier, tiers
from .wins import Wins, win_matrix

__all__ = [
    "SCHEDULES",
    "BudgetTooSmall",
    "Candidate",
    "Comparison",
    "EmptyGroup",
    "Fit",
    "Halving",
    "NonFiniteScore",
    "NotConverged",
    "Power",
    "Question",
    "RankedCandidate",
    "Ranking",
    "RankingError",
    "RoundRobin",
    "Schedule",
    "Swiss",
    "UnknownCandidate",
    "Wins",
    "fit",
    "halving_calls",
    "mcnemar_exact",
    "mcnemar_mid_p",
    "mean_ci_by_task",
    "min_detectable_delta_pp",
    "objective_comparisons",
    "rank",
    "report_power",
    "round_robin_calls",
    "tier",
    "tiers",
    "wilson",
    "win_matrix",
]
