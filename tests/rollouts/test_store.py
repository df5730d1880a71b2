"""The run directory: append-only, resumable, honest about what it cannot read."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import factories
import pytest

from rollouts.errors import ConfigError, RunDirError
from rollouts.records import BranchRecord, RankingRecord
from rollouts.store import Appender, RunStore

Make = Callable[..., BranchRecord]
MakeRun = Callable[..., RunStore]
CONFIG = "branches: 4\npolicy:\n  name: mutation\n"


def test_what_was_written_is_read_back_equal(tmp_path: Path, make_record: Make) -> None:
    """Records survive the disk unchanged."""
    records = [make_record(0), make_record(1, "failed"), make_record(2, "infra_error")]
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        writer = store.writer("driver")
        assert [writer.append(r) for r in records] == [True, True, True]
        assert list(store.branches()) == records
    with RunStore.open(tmp_path / "a") as again:
        assert list(again.branches()) == records
        assert not list(again.problems)


def test_the_same_branch_is_never_written_twice(tmp_path: Path, make_record: Make) -> None:
    """Not by the same writer, not by another one, not after a restart."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.writer("driver").append(make_record(0))
        assert not store.writer("driver").append(make_record(0, "failed"))
        assert not store.writer("fork").append(make_record(0))
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.keys() == {("cart-total", "b000")}
        assert not store.writer("other").append(make_record(0))
        assert [r.result.ending for r in store.branches()] == ["solved"]


def test_the_same_config_resumes_whatever_its_layout(tmp_path: Path) -> None:
    """Same settings, same run id; comments and order do not matter."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        run_id = store.run_id
        assert "rollout-fork" in store.config_text
    with RunStore.create(tmp_path / "a", "policy: {name: mutation}\nbranches: 4\n") as store:
        assert store.run_id == run_id
    with RunStore.create(tmp_path / "a", None) as store:
        assert store.run_id == run_id


def test_another_config_is_refused_and_the_difference_shown(tmp_path: Path) -> None:
    """The one that comes later learns which setting differs; nothing changes on disk."""
    RunStore.create(tmp_path / "a", CONFIG).close()
    before = (tmp_path / "a" / "config.yaml").read_bytes()
    with pytest.raises(RunDirError, match=r"branches: 4 there, 8 now"):
        RunStore.create(tmp_path / "a", CONFIG.replace("4", "8"))
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    RunStore.create(tmp_path / "a", CONFIG).close()  # the refused one left no lock behind


def test_two_runs_of_one_directory_name_have_different_ids(tmp_path: Path) -> None:
    """A shared memory tells them apart."""
    ids = set()
    for parent in ("x", "y"):
        (tmp_path / parent).mkdir()
        with RunStore.create(tmp_path / parent / "a", CONFIG) as store:
            ids.add(store.run_id)
    assert len(ids) == 2


@pytest.mark.parametrize("kind", ["file", "full directory", "symlink"])
def test_a_place_that_is_something_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    """No run is made over other people's files."""
    place = tmp_path / "a"
    if kind == "file":
        place.write_text("mine")
    elif kind == "full directory":
        place.mkdir()
        (place / "thesis.tex").write_text("mine")
    else:
        place.symlink_to(tmp_path / "elsewhere")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(RunDirError, match="choose another --out"):
        RunStore.create(place, CONFIG)
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_an_empty_directory_becomes_a_run(tmp_path: Path) -> None:
    """`mkdir` before the run does no harm."""
    (tmp_path / "a").mkdir()
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.config_text.endswith(CONFIG)


def test_reading_what_is_no_run_is_one_clear_line(tmp_path: Path) -> None:
    """A wrong path is the caller's mistake."""
    with pytest.raises(ConfigError, match="no such run directory"):
        RunStore.open(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="not a run directory"):
        RunStore.open(tmp_path)
    (tmp_path / "manifest.json").write_text(
        '{"kind": "rollout-fork/run", "run_id": "r", "schema_version": "v9"}'
    )
    with pytest.raises(ConfigError, match="written as v9, this version reads rollout-fork/v1"):
        RunStore.open(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    for call in (lambda: RunStore.open(tmp_path), lambda: RunStore.create(tmp_path, CONFIG)):
        with pytest.raises((ConfigError, RunDirError), match="of something else"):
            call()


def test_a_store_opened_for_reading_cannot_write(
    make_run: Callable[..., RunStore], make_ranking: Any
) -> None:
    """Only `create` gives a writer."""
    store = make_run()
    with pytest.raises(RunDirError, match="for reading"):
        store.append_ranking(make_ranking())


def test_a_torn_last_line_is_ignored_reported_and_repaired(tmp_path: Path, make_record: Make) -> None:
    """A writer killed inside a write costs that one record."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        writer = store.writer("driver")
        writer.append(make_record(0))
        writer.append(make_record(1))
    file = tmp_path / "a" / "branches" / "driver.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with RunStore.open(tmp_path / "a") as store:
        assert [r.lineage.index for r in store.branches()] == [0]
        assert [str(p) for p in store.problems] == [
            f"{file}:2: torn last line; ignored (the next writer removes it)"
        ]
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.writer("driver").append(make_record(1))
        assert [r.lineage.index for r in store.branches()] == [0, 1]
    assert file.read_bytes() == whole


def test_a_corrupt_line_in_the_middle_is_named_and_not_fatal(tmp_path: Path, make_record: Make) -> None:
    """And its branch does not count as done, even when its lineage can still be read."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        for i in range(3):
            store.writer("driver").append(make_record(i))
    file = tmp_path / "a" / "branches" / "driver.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1][:-200] + b"\x00\xff\n"
    file.write_bytes(b"".join(lines))
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.keys() == {("cart-total", "b000"), ("cart-total", "b002")}
        assert [r.lineage.index for r in store.branches()] == [0, 2]
        (problem,) = store.problems
        assert (problem.path, problem.line) == (file, 2)
        assert store.writer("driver").append(make_record(1))
        assert [r.lineage.index for r in store.rollout("cart-total")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"schema_version":"rollout-wire/v1","lineage":{"rollout_id":"r","branch_id":"b","index":0}}', "v1"),
        ('{"a": 1}', "schema_version"),
        ("[]", "object"),
        (
            '{"schema_version":"rollout-fork/v1","lineage":{"rollout_id":"r","branch_id":"b","index":0}}',
            "run_id",
        ),
    ],
)
def test_a_line_that_is_no_record_is_reported_with_its_reason(
    make_run: Callable[..., RunStore], make_record: Make, line: str, reason: str
) -> None:
    """Wrong schema version, other objects, half a record."""
    store = make_run(make_record(0))
    file = store.path / "branches" / "foreign.jsonl"
    file.write_text(line + "\n")
    assert [r.lineage.branch_id for r in store.branches()] == ["b000"]
    (problem,) = store.problems
    assert problem.path == file
    assert reason in problem.reason


def test_two_drivers_on_one_run_are_refused(tmp_path: Path) -> None:
    """The second one learns the process id of the first."""
    with RunStore.create(tmp_path / "a", CONFIG), pytest.raises(RunDirError, match=f"process {os.getpid()}"):
        RunStore.create(tmp_path / "a", CONFIG)
    RunStore.create(tmp_path / "a", CONFIG).close()


def test_the_lock_of_a_killed_driver_is_free(tmp_path: Path) -> None:
    """SIGKILL leaves a run that can be resumed at once."""
    script = (
        "import sys, time; from rollouts.store import RunStore\n"
        f"s = RunStore.create({str(tmp_path / 'a')!r}, {CONFIG!r}); print('locked', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    with pytest.raises(RunDirError, match=f"process {child.pid}"):
        RunStore.create(tmp_path / "a", CONFIG)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.run_id


def test_a_full_disk_stops_cleanly_and_what_was_written_stays(tmp_path: Path, make_record: Make) -> None:
    """The write that did not fit is taken back whole; later writes work again when there is room."""
    with RunStore.create(tmp_path / "a", CONFIG, sync=False) as store:
        writer = store.writer("driver")
        writer.append(make_record(0))
        size = (tmp_path / "a" / "branches" / "driver.jsonl").stat().st_size
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, old[1]))
        try:
            with pytest.raises(RunDirError, match=r"driver\.jsonl: cannot be written \(File too large\)"):
                writer.append(make_record(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, before)
        assert (tmp_path / "a" / "branches" / "driver.jsonl").stat().st_size == size
        assert writer.append(make_record(1))
        assert len(list(store.branches())) == 2
        assert not list(store.problems)


def test_an_unwritable_place_is_one_clear_line() -> None:
    """Nothing half-made stays behind."""
    with pytest.raises(RunDirError, match=r"cannot be created \("):
        RunStore.create(Path("/proc/rollouts-run"), CONFIG)


def test_one_file_has_one_writer(tmp_path: Path) -> None:
    """Two processes appending to one file would tear each other's repairs."""
    first = Appender(tmp_path / "x.jsonl")
    with pytest.raises(RunDirError, match="another process"):
        Appender(tmp_path / "x.jsonl")
    first.close()
    Appender(tmp_path / "x.jsonl").close()


def test_rankings_of_a_rollout_replace_earlier_ones(
    tmp_path: Path, make_ranking: Callable[..., RankingRecord]
) -> None:
    """The last line wins; all lines stay."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        store.append_ranking(make_ranking("t1", "b000"))
        store.append_ranking(make_ranking("t2", None))
        store.append_ranking(make_ranking("t1", "b001"))
        assert {k: r.winner for k, r in store.rankings().items()} == {"t1": "b001", "t2": None}
    assert len((tmp_path / "a" / "rankings.jsonl").read_text().splitlines()) == 3


def test_events_and_attempts_are_kept_in_order_with_their_time(tmp_path: Path) -> None:
    """Any field goes in, and what comes out is JSON."""
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        store.event("lease", path=Path("/x"), seconds=float("nan"), text="bad \udcff byte")
        store.event("retry", n=1)
        store.append_attempt({"branch_id": "b000", "ending": "infra_error"})
        first, second = store.events()
        assert (first["kind"], first["path"], first["seconds"], second["n"]) == ("lease", "/x", None, 1)
        assert first["at"] <= second["at"]
        assert [a["ending"] for a in store.attempts()] == ["infra_error"]


def test_rollouts_come_sorted_and_whole_whatever_the_order_of_writing(
    make_run: Callable[..., RunStore], make_record: Make
) -> None:
    """By rollout id, inside it by index."""
    store = make_run(
        make_record(1, rollout_id="z"),
        make_record(10, rollout_id="a"),
        make_record(0, rollout_id="z"),
        make_record(2, rollout_id="a"),
    )
    found = [[(r.lineage.rollout_id, r.lineage.index) for r in group] for group in store.rollouts()]
    assert found == [[("a", 2), ("a", 10)], [("z", 0), ("z", 1)]]


def test_text_that_is_no_unicode_is_stored_readable(tmp_path: Path, make_record: Make) -> None:
    """A call with half a character in its arguments does not lose its branch."""
    broken = (("bash", {"command": "echo \udce2", "n": float("nan")}, "?", 0, False), *factories.FIX[1:])
    with RunStore.create(tmp_path / "a", CONFIG) as store:
        assert store.writer("driver").append(make_record(0, actions=broken))
        (record,) = store.branches()
    assert record.trajectory.messages[2].tool_calls[0].arguments == {"command": "echo ?", "n": None}


def test_a_reader_sees_what_a_writer_adds(tmp_path: Path, make_record: Make) -> None:
    """An open store follows the files; a line seen half and then whole is no problem any more."""
    with RunStore.create(tmp_path / "a", CONFIG) as store, RunStore.open(tmp_path / "a") as reader:
        store.writer("driver").append(make_record(0))
        assert len(reader.keys()) == 1
        line = make_record(1).model_dump_json().encode() + b"\n"
        with (tmp_path / "a" / "branches" / "other.jsonl").open("wb", buffering=0) as file:
            file.write(line[:300])
            assert len(reader.keys()) == 1
            assert len(reader.problems) == 1
            file.write(line[300:])
        assert len(reader.keys()) == 2
        assert len(reader.problems) == 0


def test_reading_a_run_takes_constant_memory(tmp_path: Path) -> None:
    """60 MB of records are read with a few MB on top."""
    with RunStore.create(tmp_path / "a", CONFIG, sync=False) as store:
        record = factories.make_record(0).model_dump(mode="json")
        record["result"]["diff"] = "x" * 300_000
        file = tmp_path / "a" / "branches" / "driver.jsonl"
        with file.open("w") as out:
            for i in range(200):
                record["lineage"] |= {"branch_id": f"b{i:03d}", "index": i}
                out.write(json.dumps(record) + "\n")
        list(zip(range(3), store.branches(), strict=False))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert sum(1 for _ in store.branches()) == 200
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 20


def test_a_shared_prefix_is_stored_once_and_read_back_whole(make_run: MakeRun, make_record: Make) -> None:
    """Also a fork of a fork; the file holds what each branch did itself."""
    parent = make_record(0, actions=factories.FIX)
    child = make_record(1, parent=parent, fork_step=2, actions=factories.FIX[2:])
    grandchild = make_record(2, parent=child, fork_step=4, actions=factories.FIX[4:])
    with make_run(parent, child, grandchild) as store:
        lines = [json.loads(line) for line in next((store.path / "branches").glob("*.jsonl")).open()]
        assert [[step["index"] for step in line["trajectory"]["steps"]] for line in lines] == [
            [0, 1, 2, 3, 4],
            [2, 3, 4],
            [4],
        ]
        assert sum("sum(cart) - 1\\n" in json.dumps(line["trajectory"]["messages"]) for line in lines) == 1
        assert list(store.branches()) == [parent, child, grandchild]
    with RunStore.open(store.path) as again:
        assert list(again.branches()) == [parent, child, grandchild]
        assert list(again.rollout("cart-total"))[2] == grandchild


def test_a_prefix_that_is_not_just_the_parents_is_stored_whole(make_run: MakeRun, make_record: Make) -> None:
    parent = make_record(0)
    child = make_record(1, parent=parent, fork_step=2, actions=factories.FIX[2:])
    child.trajectory.messages[1] = child.trajectory.messages[1].model_copy(update={"content": "other words"})
    with make_run(parent, child) as store:
        assert list(store.branches()) == [parent, child]


def test_a_fork_whose_parent_cannot_be_read_is_told_and_the_rest_is_there(
    make_run: MakeRun, make_record: Make
) -> None:
    parent, other = make_record(0), make_record(2)
    child = make_record(1, parent=parent, fork_step=2, actions=factories.FIX[2:])
    path = make_run(parent, child, other).path
    file = next((path / "branches").glob("*.jsonl"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[1] + lines[2])
    with RunStore.open(path) as store:
        assert list(store.branches()) == [other]
        assert "shares steps with b000, which is not there" in str(next(iter(store.problems)))


def test_a_run_from_before_a_setting_was_there_is_resumed(tmp_path: Path) -> None:
    """As long as the setting is not used."""
    RunStore.create(tmp_path / "run", "branches: 2\n").close()
    RunStore.create(tmp_path / "run", "branches: 2\nfork: null\n").close()
    with pytest.raises(RunDirError, match="fork"):
        RunStore.create(tmp_path / "run", "branches: 2\nfork: {at: recovery}\n")
