"""`rollouts audit contamination` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import factories
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_tasks import write_task

from rollouts.audits import ContaminationAudit, Unread, audit_contamination, read_corpus
from rollouts.errors import ConfigError
from rollouts.exports import export
from rollouts.governance import ContaminationSettings, Item
from rollouts.records import BranchRecord
from rollouts.store import RunStore

ROOT = Path(__file__).resolve().parents[2]
QUESTION = (
    "A robe takes two bolts of blue fibre and half that much white fibre. "
    "How many bolts in total does the tailor need for one such robe?"
)
OTHER = (
    "Toulouse has twice as many sheep as Charleston, which has four times as many sheep as Seattle has today."
)
KEYS = {
    *("train_items", "test_items", "contaminated", "rate", "rate_low", "rate_high", "hits", "too_short"),
    *("common_ngrams_left_out", "settings"),
}


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    full = [sys.executable, "-m", "rollouts", "audit", "contamination", *map(str, arguments)]
    return subprocess.run(full, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def write(path: Path, *rows: Any) -> Path:
    """JSON lines; a string goes in as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def audit(
    train: Path | str,
    test: Path | str,
    fields: tuple[str, ...] = (),
    how: ContaminationSettings | None = None,
) -> ContaminationAudit:
    unread = Unread()
    return audit_contamination(
        read_corpus([str(test)], unread, evaluation=True, fields=fields),
        read_corpus([str(train)], unread, evaluation=False, fields=fields),
        how,
        unread,
    )


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    return write(tmp_path / "test.jsonl", {"id": "q1", "question": QUESTION}, {"id": "q2", "question": OTHER})


def items(path: Path | str, *, evaluation: bool = False) -> list[Item]:
    return list(read_corpus([str(path)], Unread(), evaluation=evaluation))


def test_contamination_ends_with_1_and_json_names_item_field_and_place(
    tmp_path: Path, test_file: Path
) -> None:
    train = write(
        tmp_path / "train.jsonl",
        {"prompt": "hi"},
        {"messages": [{"role": "tool", "content": f"> {QUESTION}"}]},
    )
    done = command("--train", train, "--test", test_file, "--json")
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    assert data.keys() >= KEYS
    assert (data["train_items"], data["test_items"], data["contaminated"], data["rate"]) == (2, 2, 1, 0.5)
    assert 0 < data["rate_low"] < 0.5 < data["rate_high"] < 1
    [hit] = data["hits"]
    assert (hit["test_id"], hit["test_field"], hit["kind"], hit["containment"]) == (
        "q1",
        "question",
        "words",
        1.0,
    )
    assert hit["train_at"] == f"{train}:2"
    assert hit["train_field"] == "messages[0].content"
    assert hit["spans"][0]["train"] == [2, 1 + len(QUESTION)]


def test_a_clean_audit_ends_with_0_and_says_what_it_cannot_find(tmp_path: Path, test_file: Path) -> None:
    train = write(tmp_path / "train.jsonl", {"text": "Something else entirely, " * 10})
    done = command("--train", train, "--test", test_file)
    assert done.returncode == 0, done.stderr
    assert "0 of 2 evaluation items contaminated" in done.stdout
    assert "Paraphrases" in done.stdout


def test_the_table_shows_the_passage_without_the_terminal_codes_in_it(tmp_path: Path) -> None:
    text = QUESTION.replace("blue", "\x1b[31mblue[/red]")
    path = write(tmp_path / "both.jsonl", {"id": "a\x1b[2J", "text": text})
    done = command("--train", path, "--test", path)
    assert done.returncode == 1
    assert "A robe takes two" in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert "\x1b[31m" not in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--train": "nowhere.jsonl"}, "no such file"),
        ({"--test": "nowhere.jsonl"}, "no such file"),
        ({"--words": "1"}, "2 to 100"),
        ({"--threshold": "0.1"}, "partial <= threshold"),
        ({"--field": "nothing"}, "no evaluation items"),
    ],
)
def test_a_wrong_call_ends_with_2_and_one_line(test_file: Path, change: dict[str, str], said: str) -> None:
    options = {"--train": str(test_file), "--test": str(test_file), **change}
    done = command(*(part for pair in options.items() for part in pair))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("empty", ["train", "test"])
def test_an_empty_side_is_an_error_and_never_clean(tmp_path: Path, test_file: Path, empty: str) -> None:
    nothing = write(tmp_path / "empty.jsonl")
    sides = {"train": test_file, "test": test_file, empty: nothing}
    with pytest.raises(ConfigError, match=r"nothing to look.*empty.jsonl: holds no item"):
        audit(sides["train"], sides["test"])


def test_what_cannot_be_read_is_told_with_its_line_and_never_clean(tmp_path: Path, test_file: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    train = write(
        tmp_path / "train.jsonl", {"text": "fine"}, "{broken", {"n": 5}, deep, '{"text": "\\ud800 fine"}'
    )
    found = audit(train, test_file)
    assert (found.train_items, found.unread.count, found.clean) == (2, 3, False)
    assert [told.split(": ")[0] for told in found.unread.told] == [f"{train}:{n}" for n in (2, 3, 4)]


def test_an_item_that_was_not_compared_is_never_clean(tmp_path: Path, test_file: Path) -> None:
    test = write(tmp_path / "t.jsonl", *({"stem": QUESTION, "remark": f"run {n}"} for n in range(40)))
    found = command("--train", write(tmp_path / "train.jsonl", {"text": OTHER}), "--test", test)
    assert found.returncode == 1
    assert "NOT compared" in found.stdout


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bin.jsonl", b"\x80\x81\xff\n", "bin.jsonl:1: no JSON that can be read"),
        ("bin.parquet", b"PAR1 broken", "no Parquet that can be read"),
        ("latin.txt", "Caf\xe9 au lait".encode("latin-1"), "latin.txt: no text in UTF-8; convert it"),
        ("t.jsonl.gz", b"\x1f\x8b\x08\x00", "t.jsonl.gz: packed with gzip; unpack it first"),
        ("z.zip", b"PK\x03\x04rest", "z.zip: packed with zip; unpack it first"),
        ("deep.json", b"[" * 100_000, "nested too deeply; flatten it"),
        ("none.jsonl", b'{"n": 5}\n', "none.jsonl:1: no text: give items with a field of text"),
        ("twice.jsonl", b'{"text": "a b", "text": "c d"}\n', "twice.jsonl:1: .*'text' is there twice"),
        ("empty.jsonl", b"", "empty.jsonl: holds no item"),
    ],
)
def test_why_nothing_is_left_to_look_for_is_told_with_the_file(
    tmp_path: Path, test_file: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"no evaluation items: nothing to look for; .*{said}"):
        audit(test_file, tmp_path / name)
    with pytest.raises(ConfigError, match=f"no training items: nothing to look in; .*{said}"):
        audit(tmp_path / name, test_file)


def test_an_empty_file_beside_another_is_told_and_never_clean(tmp_path: Path, test_file: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    train = write(tmp_path / "train.jsonl", {"text": "nothing of it"})
    done = command("--train", train, "--train", tmp_path / "empty.txt", "--test", test_file)
    assert done.returncode == 1
    assert "holds no item" in done.stdout


def test_a_field_that_no_item_has_is_told_with_those_it_has(test_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no text under nope; it has .*question.*--field"):
        audit(test_file, test_file, fields=("nope",))


def test_an_overlong_line_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test_file: Path
) -> None:
    monkeypatch.setattr("rollouts.audits.corpus.MAX_LINE", 1000)
    train = write(tmp_path / "train.jsonl", {"text": "x" * 5000}, {"text": QUESTION})
    found = audit(train, test_file)
    assert (found.train_items, found.contaminated) == (1, 1)
    assert f"{train}:1: longer than 1000 bytes" in found.unread.told


def test_field_narrows_what_is_compared(tmp_path: Path, test_file: Path) -> None:
    train = write(tmp_path / "train.jsonl", {"question": OTHER, "notes": QUESTION})
    assert audit(train, test_file).contaminated == 2
    assert [hit.test_id for hit in audit(train, test_file, fields=("question",)).hits] == ["q2"]


def test_equal_evaluation_items_are_each_counted_and_named(tmp_path: Path) -> None:
    test = write(
        tmp_path / "test.jsonl", *({"id": f"copy{n}", "text": QUESTION} for n in range(3)), {"text": OTHER}
    )
    found = audit(write(tmp_path / "train.jsonl", {"text": QUESTION}), test)
    assert (found.test_items, found.contaminated) == (4, 3)
    assert [hit.test_id for hit in found.hits] == ["copy0", "copy1", "copy2"]


def test_of_many_training_copies_the_first_few_are_told(tmp_path: Path, test_file: Path) -> None:
    found = audit(write(tmp_path / "train.jsonl", *[{"text": QUESTION}] * 50), test_file)
    assert (found.train_items, found.contaminated, len(found.hits)) == (50, 1, 3)


def test_short_items_are_listed(tmp_path: Path) -> None:
    test = write(
        tmp_path / "test.jsonl", {"id": "s", "question": "2+2=?", "answer": "4"}, {"question": QUESTION}
    )
    found = audit(write(tmp_path / "train.jsonl", {"text": "4"}), test)
    assert (found.too_short, found.contaminated) == (("s",), 0)


def test_a_json_list_parquet_and_plain_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps({"data": [{"text": "one"}, {"text": "two"}]}))
    pq.write_table(
        pa.table({"text": ["three"], "n": [1], "payload": ['{"answer": "four"}']}), tmp_path / "t.parquet"
    )
    (tmp_path / "note.md").write_text("five\n\nsix")
    (tmp_path / "skipped.bin").write_bytes(b"\x00\xff")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    texts = [passage.text for item in items(tmp_path) for passage in item.passages]
    assert texts == ["one", "two", "five\n\nsix", "three", "four"]


def test_a_broken_parquet_file_is_told(tmp_path: Path, test_file: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    unread = Unread()
    assert list(read_corpus([str(tmp_path / "bad.parquet")], unread, evaluation=False)) == []
    assert unread.count == 1


def test_json_inside_the_arguments_of_a_call_is_read_as_json(tmp_path: Path) -> None:
    call = {"function": {"name": "write", "arguments": json.dumps({"body": "line\none"})}}
    [item] = items(write(tmp_path / "a.jsonl", {"messages": [{"role": "assistant", "tool_calls": [call]}]}))
    passage = next(p for p in item.passages if p.field.endswith("arguments.body"))
    assert passage.text == "line\none"


def test_of_evaluation_items_the_frame_is_left_out(tmp_path: Path) -> None:
    roles = [{"role": role, "content": f"said by {role}"} for role in ("system", "user", "assistant", "tool")]
    path = write(tmp_path / "chat.jsonl", {"messages": roles, "tools": [{"name": "bash"}], "id": 7})
    [item] = items(path, evaluation=True)
    assert [passage.text for passage in item.passages] == ["said by user", "said by assistant"]
    assert item.id == "7"
    assert len(items(path)[0].passages) == 5


def test_tasks_give_instructions_and_as_evaluation_tests_and_solution_too(tmp_path: Path) -> None:
    task = write_task(tmp_path / "tasks")
    (task / "solution").mkdir()
    (task / "solution" / "solve.sh").write_text("sed -i 's/ + 1//' calc.py\n")
    (task / "tests" / "picture.png").write_bytes(b"\x89PNG\x00\x01")
    (task / "tests" / "link.py").symlink_to("/etc/passwd")
    [item] = items(task.parent, evaluation=True)
    names = [passage.field for passage in item.passages]
    assert names == ["instruction", "tests/test.sh", "tests/test_hidden.py", "solution/solve.sh"]
    assert [passage.field for passage in items(task)[0].passages] == ["instruction"]


def test_a_task_that_a_branch_looked_up_is_found_in_the_tool_result(
    make_run: Callable[..., RunStore], tmp_path: Path
) -> None:
    task = write_task(tmp_path / "tasks")
    (task / "instruction.md").write_text(QUESTION)
    look = ("bash", {"command": "cat /tmp/notes"}, f"$ cat notes\n{QUESTION}\n", 0, False)
    store = make_run(factories.make_record(0, actions=(look, *factories.FIX)))
    found = audit(store.path, task)
    assert [(hit.test_id, hit.train_id, hit.train_field) for hit in found.hits] == [
        ("adder", "cart-total/b000", "tool result 3")
    ]


def test_a_run_as_evaluation_is_one_item_a_rollout_with_what_solved_it(
    make_run: Callable[..., RunStore],
) -> None:
    store = make_run(factories.make_record(0), factories.make_record(1, "failed", diff="- wrong"))
    [item] = items(store.path, evaluation=True)
    assert item.id == "cart-total"
    assert [passage.field for passage in item.passages] == ["instruction", "answer", "diff"]
    assert factories.INSTRUCTION in {passage.text for passage in item.passages}
    assert len(items(store.path)) == 2


def test_a_corrupt_line_of_a_run_is_told(make_run: Callable[..., RunStore], test_file: Path) -> None:
    store = make_run(factories.make_record(0))
    with (store.path / "branches" / "driver.jsonl").open("a") as file:
        file.write("{}\n")
    found = audit(store.path, test_file)
    assert found.train_items == 1
    assert [told.split(": ")[0] for told in found.unread.told] == [f"{store.path}/branches/driver.jsonl:2"]


@pytest.mark.parametrize("fmt", ["jsonl", "parquet"])
def test_an_export_is_read_in_either_format(
    make_run: Callable[..., RunStore], make_record: Callable[..., BranchRecord], tmp_path: Path, fmt: str
) -> None:
    record = make_record(0, instruction=QUESTION)
    export(make_run(record), "sft", tmp_path / "out", fmt=(fmt,))
    test = write(tmp_path / "test.jsonl", {"id": "q", "question": QUESTION})
    [hit] = audit(tmp_path / "out", test).hits
    assert hit.train_field.endswith("messages[1].content")


def test_the_bundled_suites_share_no_item() -> None:
    found = audit("suite", "suite:constraints")
    assert (found.contaminated, found.partial, found.clean) == (0, 0, True)
