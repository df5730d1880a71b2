"""Per-item results as the evaluation programs write them, and what is refused."""

from __future__ import annotations

import json
import zipfile

import pytest
from claim_support import (
    LONG,
    inspect_log,
    inspect_sample,
    lm_eval_row,
    pack_into,
    write_eval,
    write_json,
    write_lines,
)
from hypothesis import given
from hypothesis import strategies as st

from rollouts.audits import Reading, claim_files, claim_inspect, read_results
from rollouts.audits.claim_items import BadField, cut_off, outcome
from rollouts.errors import ConfigError

ROWS = [{"id": i, "correct": i % 2 == 0} for i in range(4)]


def outcomes(path, **reading):
    return {name: item.correct for name, item in read_results(path, Reading(**reading)).items.items()}


@pytest.mark.parametrize("name", ["results", "items", "samples"])
def test_a_list_of_items_is_read_bare_and_under_its_usual_names(tmp_path, name):
    expected = {"0": True, "1": False, "2": True, "3": False}
    assert outcomes(write_json(tmp_path / "a.json", ROWS)) == expected
    assert outcomes(write_json(tmp_path / "b.json", {name: ROWS, "meta": {"model": "m"}})) == expected
    pretty = tmp_path / "c.json"
    pretty.write_text("\ufeff" + json.dumps({name: ROWS}, indent=2))
    assert outcomes(pretty) == expected
    assert outcomes(write_lines(tmp_path / "d.jsonl", ROWS)) == expected


@pytest.mark.parametrize("id_", ["id", "doc_id", "sample_id", "task_id"])
@pytest.mark.parametrize("score", ["correct", "is_correct", "passed", "acc", "exact_match", "score"])
@pytest.mark.parametrize(("right", "wrong"), [(True, False), (1, 0), (1.0, 0.0), ("true", "No"), ("1", "0")])
def test_the_usual_names_and_spellings_of_an_outcome_are_understood(tmp_path, id_, score, right, wrong):
    path = write_lines(tmp_path / "a.jsonl", [{id_: "x", score: right}, {id_: 0, score: wrong}])
    assert outcomes(path) == {"x": True, "0": False}


def test_a_score_with_its_filter_in_the_name_is_seen(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "exact_match,strict-match": 1.0}])
    assert outcomes(path) == {"1": True}
    both = {"id": 1, "exact_match,strict-match": 0, "exact_match,flexible-extract": 1}
    two = write_lines(tmp_path / "b.jsonl", [both])
    with pytest.raises(
        ConfigError, match=r"b.jsonl:1: several scores \(exact_match,flex.*, exact_match,strict"
    ):
        read_results(two)
    assert outcomes(two, filter="flexible-extract") == {"1": True}
    assert outcomes(two, metric="exact_match,strict-match") == {"1": False}


def test_a_graded_score_needs_a_threshold(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "acc": 0.4}, {"id": 2, "acc": 1.0}])
    with pytest.raises(ConfigError, match=r"a.jsonl:1: 'acc': an outcome of 0.4 is graded.*--threshold"):
        read_results(path)
    assert outcomes(path, threshold=0.4) == {"1": True, "2": True}
    assert outcomes(path, threshold=0.5) == {"1": False, "2": True}


def test_text_is_never_searched_for_the_expected_answer(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "expected": "3", "text": "It is 13."}])
    with pytest.raises(ConfigError, match="no outcome: no field 'correct'"):
        read_results(path)


@pytest.mark.parametrize("error", ["ConnectionError", {"message": "timeout"}, True])
def test_an_item_that_tells_an_error_is_missing_whatever_outcome_stands_beside_it(tmp_path, error):
    rows = [{"id": 1, "correct": True, "error": ""}, {"id": 2, "correct": False, "error": error}]
    assert outcomes(write_lines(tmp_path / "a.jsonl", rows)) == {"1": True, "2": None}
    lines = [lm_eval_row(1, 1.0, error=None), lm_eval_row(2, 0.0, error=error)]
    assert outcomes(write_lines(tmp_path / "b.jsonl", lines)) == {"1": True, "2": None}


@pytest.mark.parametrize(
    "content", ['{"id": 1, "correct": true, "correct": false}\n', '[{"id": 1, "id": 2}]']
)
def test_a_key_that_stands_twice_is_an_error(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"a.jsonl.*the key '(id|correct)' is there twice"):
        read_results(path)


@pytest.mark.parametrize("value", [2, "perhaps", [1], -1.5])
def test_a_truncation_that_is_neither_names_its_field_and_the_mend(tmp_path, value):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "correct": True, "truncated": value}])
    with pytest.raises(ConfigError, match=r"a.jsonl:1: 'truncated' is .*: use true or false") as told:
        read_results(path)
    assert "--threshold" not in str(told.value)


def test_an_outcome_that_is_none_names_its_field(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "passed": "perhaps"}])
    with pytest.raises(
        ConfigError, match=r"a.jsonl:1: 'passed': 'perhaps' is not an outcome: use true or false"
    ):
        read_results(path)


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": float("nan")}, {"threshold": float("inf")}, {"epoch": -1}, {"max_tokens": 0}],
)
def test_numbers_of_a_reading_are_finite_and_in_range(wrong):
    with pytest.raises(ConfigError, match="--" + next(iter(wrong)).replace("_", "-")):
        Reading(**wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "maybe", [], {}, 2])
def test_what_is_neither_right_nor_wrong_is_refused(value):
    with pytest.raises(BadField):
        outcome(value, None)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1))
def test_a_threshold_counts_from_its_own_value_on(score, threshold):
    assert outcome(score, threshold) is (score >= threshold)


def test_an_item_that_ended_in_an_error_has_no_outcome(tmp_path):
    rows = [{"id": 1, "correct": True}, {"id": 2, "error": "timed out"}, {"id": 3, "correct": None}]
    assert outcomes(write_lines(tmp_path / "a.jsonl", rows)) == {"1": True, "2": None, "3": None}


@pytest.mark.parametrize(
    ("row", "limit", "expected"),
    [
        ({"truncated": True}, None, (True, "truncated")),
        ({"truncated": 0}, None, (False, "truncated")),
        ({"finish_reason": "length"}, None, (True, "finish_reason")),
        ({"finish_reason": "stop", "tokens": 300}, 300, (False, "finish_reason")),
        ({"stop_reason": "max_tokens"}, None, (True, "stop_reason")),
        ({"stop_reason": "mystery"}, None, (None, "")),
        ({"tokens": 299}, 300, (True, "tokens")),
        ({"tokens": 120}, 300, (False, "tokens")),
        ({"tokens": [1] * 300}, 300, (True, "tokens")),
        ({"tokens": 299}, None, (None, "")),
        ({"text": "ends in the middle of"}, 300, (None, "")),
    ],
)
def test_truncation_is_told_by_the_file_or_not_known(row, limit, expected):
    assert cut_off(row, limit) == expected


def test_a_limit_is_taken_from_the_row_the_header_or_the_call(tmp_path):
    row = {"id": 1, "correct": 1, "tokens": 299}
    header = {"config": {"max_new_tokens": 300}, "results": [row]}
    assert read_results(write_json(tmp_path / "a.json", header)).items["1"].truncated is True
    path = write_lines(tmp_path / "b.jsonl", [row, {**row, "id": 2, "max_tokens": 768}])
    items = read_results(path, Reading(max_tokens=300)).items
    assert (items["1"].truncated, items["2"].truncated) == (True, False)
    assert (items["1"].limit, items["2"].limit) == (300, 768)


def test_texts_clipped_at_one_length_are_marked_and_the_others_stay_unknown(tmp_path):
    texts = [LONG + "a", LONG + "b", "short", LONG[:-9]]
    rows = [{"id": i, "correct": 0, "gen_text": text} for i, text in enumerate(texts)]
    items = read_results(write_lines(tmp_path / "a.jsonl", rows)).items
    assert [items[str(i)].truncated for i in range(4)] == [True, True, None, None]
    assert items["0"].cut_by == "clipped text"
    same = [{"id": i, "correct": 0, "gen_text": LONG} for i in range(5)]
    assert all(
        item.truncated is None
        for item in read_results(write_lines(tmp_path / "b.jsonl", same)).items.values()
    )


def test_an_expected_answer_of_zero_is_kept(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"id": 0, "correct": 0, "target": 0, "answer": 5}])
    assert read_results(path).items["0"].expected == "0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no items"),
        ("[]", "no items"),
        ('{"id": 1, "correct": 1}\n{"id": 2, "corr', r"a.jsonl:2: not a line of JSON"),
        ('{"id": 1, "correct": 1}\n[1]\n', r"a.jsonl:2: not an object but list"),
        ('{"id": 1, "correct": 1}\n{"id": "1", "correct": 0}\n', r"a.jsonl:2: item '1' is there twice"),
        ('{"correct": 1}\n', r"a.jsonl:1: no id"),
        ('{"id": true, "correct": 1}\n', r"a.jsonl:1: no id"),
        ('[{"id": 1, "correct": 1}, 7]', r"item 2: not an object but int"),
        ('[{"id": 1,\n "correct": oops}]', r"a.jsonl:2: neither JSON nor JSON lines"),
        ('{"results": {"gsm8k": {"acc": 1}}}', "--log_samples"),
        ('{"model": "m"}\n', "no outcome|no id|no list"),
        ("[" * 100_000, "no JSON that can be read"),
        ('{"schema_version": 1, "lineage": {}}\n', "rollouts compare"),
    ],
)
def test_what_cannot_be_read_is_one_error_with_its_place(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_results(path)


def test_directories_and_absent_files_are_wrong_calls(tmp_path):
    (tmp_path / "run" / "branches").mkdir(parents=True)
    for path, message in (
        (tmp_path, "a directory"),
        (tmp_path / "run", "rollouts compare"),
        (tmp_path / "x", "No such"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_results(path)


def test_lines_and_documents_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(claim_files, "MOST_LINE_BYTES", 100)
    monkeypatch.setattr(claim_files, "MOST_DOCUMENT_BYTES", 150)
    path = write_lines(
        tmp_path / "a.jsonl", [{"id": 1, "correct": 1}, {"id": 2, "correct": 1, "text": "x" * 200}]
    )
    with pytest.raises(ConfigError, match=r"a.jsonl:2: longer than"):
        read_results(path)
    with pytest.raises(ConfigError, match="larger than"):
        read_results(write_json(tmp_path / "b.json", [{"id": 1, "correct": 1, "text": "x" * 200}]))


def test_repeats_are_flags_or_answers(tmp_path):
    rows = [
        {"id": 1, "correct": 0, "samples": [True, False, True]},
        {"id": 2, "correct": 0, "samples": ["18", 18, {"answer": "19"}, {"correct": True}, None, []]},
    ]
    items = read_results(write_lines(tmp_path / "a.jsonl", rows)).items
    assert items["1"].samples == (True, False, True)
    assert items["2"].samples == ("18", "18", "19", True)


def test_runs_of_one_item_need_an_epoch_and_become_its_repeats(tmp_path):
    rows = [{"id": "x", "epoch": n, "correct": n == 2} for n in (1, 2, 3)]
    path = write_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(ConfigError, match=r"run 3 times \(epochs 1, 2, 3\): --epoch N"):
        read_results(path)
    item = read_results(path, Reading(epoch=1)).items["x"]
    assert (item.correct, item.samples) == (False, (True, False))
    with pytest.raises(ConfigError, match="no epoch 4"):
        read_results(path, Reading(epoch=4))


def test_lm_eval_samples_are_read_with_their_filter(tmp_path):
    rows = [lm_eval_row(d, float(d % 2), f) for f in ("strict-match", "flexible-extract") for d in range(3)]
    path = write_lines(tmp_path / "samples_gsm8k.jsonl", rows)
    with pytest.raises(
        ConfigError, match=r"several filters \(strict-match, flexible-extract\): choose with --filter"
    ):
        read_results(path)
    with pytest.raises(ConfigError, match="no filter 'loose'"):
        read_results(path, Reading(filter="loose"))
    found = read_results(path, Reading(filter="strict-match"))
    assert (found.format, found.metric, len(found.items)) == ("lm-evaluation-harness", "exact_match", 3)
    item = found.items["2"]
    assert (item.correct, item.text, item.predicted) == (False, "It is #### 4", "4")
    assert (item.truncated, item.limit, item.fingerprint) == (None, 256, "hash-2")


def test_lm_eval_choices_cannot_be_cut_off_and_several_metrics_are_chosen_between(tmp_path):
    choice = {"gen_args_0": {"arg_0": "Q", "arg_1": " yes"}, "gen_args_1": {"arg_0": "Q", "arg_1": " no"}}
    row = lm_eval_row(
        0, 0.0, "none", arguments=choice, resps=[[["-0.1", "False"]]], filtered_resps=[["-0.1", "False"]]
    )
    row |= {"metrics": ["acc", "acc_norm"], "acc": 1.0, "acc_norm": 0.0}
    path = write_lines(tmp_path / "a.jsonl", [row])
    with pytest.raises(ConfigError, match=r"several scores \(acc, acc_norm\): choose with --metric"):
        read_results(path)
    item = read_results(path, Reading(metric="acc_norm")).items["0"]
    assert (item.correct, item.truncated, item.text) == (False, False, None)


def test_the_limit_of_lm_eval_is_taken_from_the_results_beside_the_samples(tmp_path):
    date = "2026-11-21T13-30-53.918512"
    row = lm_eval_row(0, 1.0)
    row["arguments"]["gen_args_0"]["arg_1"].pop("max_gen_toks")
    path = write_lines(tmp_path / f"samples_gsm8k_{date}.jsonl", [row])
    assert read_results(path).items["0"].limit is None
    configs = {"gsm8k": {"generation_kwargs": {"max_gen_toks": 300}}}
    write_json(tmp_path / f"results_{date}.json", {"results": {}, "configs": configs})
    assert read_results(path).items["0"].limit == 300


SAMPLES = [
    inspect_sample("a", "C"),
    inspect_sample("b", "I", "max_tokens"),
    inspect_sample("c", "N", "unknown"),
    inspect_sample("d", 1, limit={"type": "message", "limit": 10}),
    inspect_sample("e", "C", error={"message": "broke", "traceback": ""}),
    inspect_sample("f", "C", limit={"type": "operator", "limit": 1}),
]


@pytest.mark.parametrize("form", ["json", "deflated", "zstandard"])
def test_inspect_logs_are_read_in_all_their_forms(tmp_path, form):
    if form == "json":
        path = write_json(tmp_path / "log.json", inspect_log(SAMPLES))
    else:
        path = write_eval(tmp_path / "log.eval", SAMPLES, 93 if form == "zstandard" else zipfile.ZIP_DEFLATED)
    found = read_results(path)
    assert (found.format, found.metric) == ("inspect", "match")
    told = {name: (item.correct, item.truncated) for name, item in found.items.items()}
    assert told["a"] == (True, False)
    assert told["b"] == (False, True)
    assert told["c"] == (False, False)  # by its tokens: 5 of 300
    assert told["d"] == (True, True)
    assert told["e"][0] is told["f"][0] is None
    assert found.items["b"].text == "#### 1"


def test_inspect_scorers_epochs_and_partial_credit_are_chosen(tmp_path):
    two = inspect_sample("a", "P")
    two["scores"]["includes"] = {"value": "C"}
    path = write_json(tmp_path / "log.json", inspect_log([two]))
    with pytest.raises(ConfigError, match=r"several scorers \(includes, match\): choose with --metric"):
        read_results(path)
    with pytest.raises(ConfigError, match=r"0\.5 is graded"):
        read_results(path, Reading(metric="match"))
    assert outcomes(path, metric="match", threshold=0.5) == {"a": True}
    runs = [inspect_sample("a", value, epoch=n) for n, value in ((1, "I"), (2, "C"), (3, "C"))]
    path = write_eval(tmp_path / "log.eval", runs)
    assert read_results(path, Reading(epoch=1)).items["a"].samples == (True, True)


def test_an_inspect_log_without_samples_or_scores_is_refused(tmp_path):
    header = inspect_log([])
    header.pop("samples")
    with pytest.raises(ConfigError, match="without samples"):
        read_results(write_json(tmp_path / "a.json", header))
    with pytest.raises(ConfigError, match="was the log scored"):
        read_results(
            write_json(tmp_path / "b.json", inspect_log([inspect_sample("a", "C") | {"scores": None}]))
        )


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, 93])
def test_a_zip_bomb_is_unpacked_into_its_bound_only(tmp_path, monkeypatch, method):
    monkeypatch.setattr(claim_inspect, "MOST_MEMBER_BYTES", 1 << 20)
    path = tmp_path / "bomb.eval"
    pack_into(path, {"samples/a_epoch_1.json": b" " * (64 << 20)}, method)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ConfigError, match="more than 1 MiB when unpacked"):
        read_results(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, 93])
def test_a_broken_log_is_told(tmp_path, method):
    path = write_eval(tmp_path / "log.eval", SAMPLES, method)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[60:90] = b"\xff" * 30
    for content in (whole[:200], bytes(damaged)):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"log\.eval"):
            read_results(path)
    pack_into(path, {"other.txt": b""}, zipfile.ZIP_STORED)
    with pytest.raises(ConfigError, match="zip without samples"):
        read_results(path)


@pytest.mark.parametrize("form", ["json", "eval"])
def test_logs_that_inspect_itself_writes_are_read(tmp_path, form, monkeypatch):
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    monkeypatch.chdir(tmp_path)
    given = [("#### 0", "stop"), ("#### 7", "max_tokens"), ("#### 2", "stop")]
    outputs = []
    for text, reason in given:
        output = ModelOutput.from_content("mockllm/model", text, stop_reason=reason)
        output.usage = ModelUsage(input_tokens=3, output_tokens=5, total_tokens=8)
        outputs.append(output)
    data = [Sample(id=f"q{i}", input="?", target=str(i)) for i in range(3)]
    task = inspect_ai.Task(dataset=data, solver=generate(), scorer=match())
    model = get_model("mockllm/model", custom_outputs=outputs)
    inspect_ai.eval(task, model=model, log_dir="logs", log_format=form, display="none", max_samples=1)
    (path,) = (tmp_path / "logs").iterdir()
    items = read_results(path).items
    assert {name: (item.correct, item.truncated) for name, item in items.items()} == {
        "q0": (True, False),
        "q1": (False, True),
        "q2": (True, False),
    }
