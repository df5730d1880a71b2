"""Pure statistics of groups of branches: tiers, Bradley-Terry strengths, intervals, power."""

from .bradley_terry import Fit, fit
from .cluster import mean_ci_by_task
from .errors import EmptyGroup, NonFiniteScore, NotConverged, RankingError, UnknownCandidate
from .intervals import wilson
from .paired import mcnemar_exact, mcnemar_mid_p
from .power import min_detectable_delta_pp, report_power
from .rank import objective_comparisons, rank
from .records import Candidate, Comparison, Power, RankedCandidate, Ranking
from .tiers import tier, tiers
from .wins import Wins, win_matrix

__all__ = [
    "Candidate",
    "Comparison",
    "EmptyGroup",
    "Fit",
    "NonFiniteScore",
    "NotConverged",
    "Power",
    "RankedCandidate",
    "Ranking",
    "RankingError",
    "UnknownCandidate",
    "Wins",
    "fit",
    "mcnemar_exact",
    "mcnemar_mid_p",
    "mean_ci_by_task",
    "min_detectable_delta_pp",
    "objective_comparisons",
    "rank",
    "report_power",
    "tier",
    "tiers",
    "wilson",
    "win_matrix",
]
