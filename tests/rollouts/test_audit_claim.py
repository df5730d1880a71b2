"""`rollouts audit claim A B`: the published case, pairing, output and exit codes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from claim_support import inspect_log, inspect_sample, lm_eval_row, write_eval, write_json, write_lines

from rollouts.audits import audit_claim, read_results
from rollouts.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "rollouts", "audit", "claim", *map(str, arguments)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def files(tmp_path, groups):
    """Two plain files from (count, right A, right B, cut off A, cut off B) groups, in different orders."""
    items = [group[1:] for group in groups for _ in range(group[0])]
    paths = []
    for side in (0, 1):
        rows = [
            {
                "id": f"gsm8k-{i:03}",
                "correct": item[side],
                "finish_reason": "length" if item[side + 2] else "stop",
            }
            if item[side] is not None
            else {"id": f"gsm8k-{i:03}", "error": "timed out"}
            for i, item in enumerate(items)
        ]
        random.Random(side).shuffle(rows)
        paths.append(write_json(tmp_path / f"{'ab'[side]}.json", {"results": rows}))
    return paths


#: The counts are those of the published case study; who was cut off is made up to fit its story.
AT_300_TOKENS = (
    (78, True, True, False, False),
    (21, True, False, False, False),
    (25, False, True, True, False),
    (16, False, True, False, False),
    (30, False, False, True, True),
    (30, False, False, True, False),
)
AT_768_TOKENS = (
    (108, True, True, False, False),
    (29, True, False, False, False),
    (27, False, True, False, False),
    (35, False, False, False, False),
    (1, True, None, False, None),
)
CLEAR = ((60, True, True, False, False), (30, False, True, False, False), (10, False, False, False, False))


def test_the_published_improvement_is_an_artefact(tmp_path):
    done = command(*files(tmp_path, AT_300_TOKENS), "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert {name: found[name] for name in ("n", "b", "c", "delta_pp", "verdict")} == {
        "n": 200,
        "b": 21,
        "c": 41,
        "delta_pp": 10.0,
        "verdict": "artefact",
    }
    assert round(found["p_exact"], 4) == 0.0151
    assert (found["truncated_a"], found["truncated_b"]) == (85, 30)
    assert found["truncation_p"] < 0.0001
    assert (found["clean"]["n"], found["clean"]["b"], found["clean"]["c"]) == (115, 21, 16)
    assert found["reason"].startswith("B is ahead by 10.0 pp (p=0.0151), but A was cut off more often")


def test_with_room_to_finish_it_is_gone(tmp_path):
    done = command(*files(tmp_path, AT_768_TOKENS), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["n"], found["b"], found["c"], round(found["p_exact"], 4)) == (199, 29, 27, 0.8939)
    assert (found["verdict"], found["missing_b"]) == ("inconclusive", 1)
    assert found["ci_low_pp"] < found["delta_pp"] < found["ci_high_pp"]


def test_a_difference_that_holds_up_is_ok_and_told_in_tables_and_a_sentence(tmp_path):
    done = command(*files(tmp_path, CLEAR))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.split()[:4] == ["all", "100", "0", "30"] for line in lines)
    assert any(line.startswith("cut off in neither") for line in lines)
    assert lines[-1].startswith("ok B is ahead by 30.0 pp")


def test_what_cannot_be_used_is_a_wrong_call_in_one_line(tmp_path):
    a, b = files(tmp_path, CLEAR)
    for arguments in ((a, tmp_path / "absent"), (a, tmp_path), (a, b, "--complete", "C")):
        done = command(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("rollouts: ")
        assert done.stderr.count("\n") == 1


def rows(ids, **fields):
    return [{"id": i, "correct": True, "truncated": False, **fields} for i in ids]


def audited(tmp_path, a, b, **options):
    one = read_results(write_lines(tmp_path / "a.jsonl", a))
    return audit_claim(one, read_results(write_lines(tmp_path / "b.jsonl", b)), **options)


def test_ids_on_one_side_only_are_an_error_or_told(tmp_path):
    with pytest.raises(ConfigError, match=r"1 of .*a.jsonl \('1'\) are not in .*b.jsonl; 2 of .*--common"):
        audited(tmp_path, rows([1, 2, 3]), rows([2, 3, 4, 5]))
    found = audited(tmp_path, rows([1, 2, 3]), rows([2, 3, 4, 5]), common=True)
    assert found.audit.table.n == 2
    assert "1 items only A has and 2 only B has were left out" in found.reason
    with pytest.raises(ConfigError, match="no item in common"):
        audited(tmp_path, rows([1]), rows([2]), common=True)


def test_one_id_for_two_different_items_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="not the same one: it expects '18' against '20'"):
        audited(tmp_path, rows([1], expected="18"), rows([1], expected="20"))
    assert audited(tmp_path, rows([1], expected="18"), rows([1], expected="so #### 18.0")).audit.table.n == 1
    one, other = [lm_eval_row(0, 1.0)], [lm_eval_row(0, 1.0, doc_hash="other")]
    with pytest.raises(ConfigError, match="not the same document"):
        audited(tmp_path, one, other)


def test_nothing_with_an_outcome_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="outcome on both sides"):
        audited(tmp_path, [{"id": 1, "error": "x"}], rows([1]))


def test_results_of_different_programs_pair_by_id(tmp_path):
    samples = [inspect_sample(str(i), "C" if i < 30 else "I") | {"target": str(2 * i)} for i in range(40)]
    one = read_results(write_eval(tmp_path / "a.eval", samples, 93))
    other = read_results(write_json(tmp_path / "b.json", inspect_log(samples)))
    lines = [lm_eval_row(i, float(i < 10)) for i in range(40)]
    third = read_results(write_lines(tmp_path / "c.jsonl", lines))
    assert audit_claim(one, other).audit.table.b == 0
    found = audit_claim(one, third)
    assert (found.audit.table.b, found.audit.table.c) == (20, 0)


def test_truncation_that_is_unknown_is_inconclusive_until_it_is_declared(tmp_path):
    a = [lm_eval_row(i, 0.0, resps=[["#### 1000"]], filtered_resps=["1000"]) for i in range(30)]
    b = [lm_eval_row(i, 1.0) for i in range(30)]
    found = audited(tmp_path, a, b)
    assert found.audit.verdict == "inconclusive"
    assert "truncation is unknown for 30 of 30 items of A and 30 of 30 items of B" in found.reason
    assert audited(tmp_path, a, b, complete={"A"}).audit.verdict == "inconclusive"
    declared = audited(tmp_path, a, b, complete={"A", "B"})
    assert declared.audit.verdict == "ok"
    assert "that 30 outputs of A were not cut off was declared in the call" in declared.notes


def test_answers_a_scorer_did_not_see_turn_the_claim_into_an_artefact(tmp_path):
    seen = [{**row, "text": "#### 7", "expected": "7"} for row in rows(range(40))]
    unseen = [{**row, "correct": i >= 20, "text": "The answer is 7."} for i, row in enumerate(seen)]
    found = audited(tmp_path, unseen, seen).as_dict()
    assert (found["b"], found["c"], found["verdict"]) == (0, 20, "artefact")
    assert found["extraction"]["a"]["channels"]["A_extract"] == 20
    assert found["reread"]["changed_a"] == 20
    assert "so the scorer made the difference" in found["reason"]


def test_a_substring_that_was_scored_right_does_not_count_when_read_again(tmp_path):
    a = [{**row, "correct": False, "text": "#### 4", "expected": "3"} for row in rows(range(12))]
    b = [{**row, "text": "#### 13", "expected": "3"} for row in rows(range(12))]
    found = audited(tmp_path, a, b).audit
    assert (found.table.c, found.reread.table.c) == (12, 0)
    assert found.verdict == "artefact"


def test_repeats_give_the_lottery_of_each_side(tmp_path):
    a = [{**row, "correct": i > 5, "samples": [i % 2 == 0] * 5} for i, row in enumerate(rows(range(20)))]
    found = audited(tmp_path, a, rows(range(20))).as_dict()
    assert (found["lottery"]["a"]["won"], found["lottery"]["a"]["tested"]) == (3, 6)
    assert found["lottery"]["b"]["value"] is None
    assert found["extraction"]["a"]["case"] == "beta"


def test_different_limits_and_clipped_texts_are_told(tmp_path):
    texts = ["word " * 60 + end for end in "ab"]
    a = [{"id": i, "correct": 0, "max_tokens": 300, "text": text} for i, text in enumerate(texts)]
    found = audited(tmp_path, a, rows([0, 1], max_tokens=768))
    assert any("2 outputs of A count as cut off because they end at one" in note for note in found.notes)
    assert "A was run with 300 tokens, B with 768" in found.notes
    assert found.as_dict()["truncation"]["known_by_a"] == {"clipped text": 2}


def test_hostile_ids_and_texts_cannot_write_markup_into_the_report(tmp_path):
    rows = [{"id": "[red]x[/]", "correct": 0, "truncated": False, "text": "[bold]", "expected": "1"}]
    path = write_lines(tmp_path / "[a].jsonl", rows)
    done = command(path, path)
    assert done.returncode == 0, done.stderr
    assert "[a].jsonl" in done.stdout
