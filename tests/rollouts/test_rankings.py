"""From records to a ranking."""

from __future__ import annotations

import pytest
from factories import make_record

from ranking import DuplicateCandidate
from rollouts.rankings import rank_rollout


def test_a_branch_that_is_in_its_group_twice_is_refused_by_name():
    records = [make_record(0), make_record(1, "failed"), make_record(1, "failed")]
    with pytest.raises(DuplicateCandidate, match="b001 is in its group 2 times"):
        rank_rollout(records)


def test_every_line_tells_how_likely_it_is_the_best_of_its_tier_and_which_ranks_it_may_have():
    ranking = rank_rollout([make_record(0), make_record(1), make_record(2, "failed")])
    first, second, failing = ranking.order
    assert first["p_best"] + second["p_best"] == pytest.approx(1.0)
    assert (first["rank_low"], first["rank_high"]) == (1, 2)
    assert failing["p_best"] is None
