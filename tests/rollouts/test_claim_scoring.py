"""`rollouts audit claim`: sides that were scored in different ways are never ok."""

from __future__ import annotations

import pytest
from claim_support import lm_eval_row, write_lines

from rollouts.audits import Reading, audit_claim, read_results
from rollouts.errors import ConfigError


def audited(tmp_path, a, b, **reading):
    paths = [write_lines(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", b))]
    one, other = (read_results(path, Reading(**reading)) for path in paths)
    return audit_claim(one, other, complete={"A", "B"})


def plain(right, metric="correct", count=60, **fields):
    return [{"id": i, metric: right(i), "truncated": False, **fields} for i in range(count)]


def always(_):
    return 1


def half(i):
    return i % 2


def test_a_difference_between_two_filters_is_an_artefact(tmp_path):
    strict = [lm_eval_row(i, i % 2, resps=[[f"no number {i}"]]) for i in range(60)]
    flexible = [lm_eval_row(i, 1.0, "flexible-extract", resps=[[f"another {i}"]]) for i in range(60)]
    found = audited(tmp_path, strict, flexible)
    assert found.audit.verdict == "artefact"
    assert "'strict-match'" in found.reason
    assert "'flexible-extract'" in found.reason
    assert [each["filter"] for each in found.as_dict()["sources"]] == ["strict-match", "flexible-extract"]


def test_a_filter_that_both_files_have_is_chosen_and_no_artefact(tmp_path):
    filters = ("strict-match", "flexible-extract")
    a = [
        lm_eval_row(i, i % 2, name, resps=[[f"none {i}"]], filtered_resps=["[invalid]"])
        for i in range(60)
        for name in filters
    ]
    b = [lm_eval_row(i, 1.0, name) for i in range(60) for name in filters]
    found = audited(tmp_path, a, b, filter="strict-match")
    assert (found.a.filter, found.b.filter, found.audit.verdict) == ("strict-match", "strict-match", "ok")


@pytest.mark.parametrize("other", ["acc_norm", "exact_match"])
def test_a_difference_between_two_metrics_is_an_artefact(tmp_path, other):
    found = audited(tmp_path, plain(half, "acc"), plain(always, other, metrics=[other]))
    assert found.audit.verdict == "artefact"
    assert f"A is scored by 'acc', B by '{other}'" in found.reason


def test_a_metric_that_both_have_is_to_be_chosen(tmp_path):
    a, b = plain(half, "acc"), [{**row, "acc": 1} for row in plain(always)]
    with pytest.raises(ConfigError, match=r"'acc', .*'correct': .*choose with --metric acc"):
        audited(tmp_path, a, b)
    assert audited(tmp_path, a, b, metric="acc").audit.verdict == "ok"


def test_a_named_metric_against_an_unnamed_one_is_inconclusive(tmp_path):
    assert audited(tmp_path, plain(half), plain(always, "passed")).audit.verdict == "ok"
    found = audited(tmp_path, plain(half), plain(always, "acc"))
    assert found.audit.verdict == "inconclusive"
    assert "whether that is the same measure is not known" in found.reason


def test_equal_outputs_with_opposite_outcomes_are_an_artefact_where_they_make_the_difference(tmp_path):
    found = audited(tmp_path, plain(half, text="alike"), plain(always, text="alike"))
    assert found.audit.verdict == "artefact"
    assert "30 items have the same output on both sides and opposite outcomes" in found.reason


def test_a_few_equal_outputs_with_opposite_outcomes_make_it_inconclusive(tmp_path):
    a = [{**row, "text": f"a {i}" if i > 3 else "alike"} for i, row in enumerate(plain(half))]
    b = [{**row, "text": f"b {i}" if i > 3 else "alike"} for i, row in enumerate(plain(always))]
    found = audited(tmp_path, a, b)
    assert found.audit.verdict == "inconclusive"
    assert "2 items have the same output" in found.reason


def test_answers_that_one_scorer_missed_though_they_are_only_implied_make_an_artefact(tmp_path):
    a = plain(half, text="We add.\nShe has 12 apples.", expected="12")
    b = plain(always, text="So we add.\nShe has 12 apples.", expected="12")
    found = audited(tmp_path, a, b)
    assert found.a.triage.counts["A_extract"] == 30
    assert found.audit.verdict == "artefact"


@pytest.mark.parametrize("alpha", [float("nan"), 0.0, 1.0])
def test_a_level_outside_its_range_is_a_wrong_call(tmp_path, alpha):
    path = write_lines(tmp_path / "a.jsonl", plain(half))
    with pytest.raises(ConfigError, match="--alpha"):
        audit_claim(read_results(path), read_results(path), alpha=alpha)
