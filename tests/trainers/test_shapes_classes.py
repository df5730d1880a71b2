"""The rows against the projects' own classes, where these can be had.

`verifiers` has the import name of a package of ours, so it lives in an environment of its own: name its interpreter
in VERIFIERS_PYTHON. verl and slime are imported here where they are installed.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from branches_with_tokens import write_run

from rollouts.exports import export

CHECK = """
import json, sys
from verifiers.v1.task import TaskData
from verifiers.v1.trace import WireTrace
tasks, traces = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert [TaskData.model_validate(task).prompt for task in tasks] == ["Mend it."]
out = []
for row in traces:
    trace = WireTrace.model_validate(row)
    assert trace.id == row["id"] and trace.tools[0].name == "bash"
    for branch in trace.branches:
        out.append([branch.token_ids, branch.sampled_mask, branch.logprobs, branch.advantages, trace.reward,
                    [message.role for message in branch.messages], branch.num_output_tokens])
print(json.dumps(out))
"""


def rows(to: str, out: Path, **options: Any) -> list[dict[str, Any]]:
    export(write_run(out), to, out, **options)
    return [json.loads(line) for line in (out / f"{to}.jsonl").read_text().splitlines()]


@pytest.mark.skipif(
    "VERIFIERS_PYTHON" not in os.environ, reason="VERIFIERS_PYTHON: an interpreter with verifiers 0.4"
)
def test_verifiers_reads_the_tasks_and_gives_the_tokens_of_each_path(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    for to in ("prime_tasks", "prime_traces"):
        export(run, to, tmp_path)
    command = [os.environ["VERIFIERS_PYTHON"], "-c", CHECK, "prime_tasks.jsonl", "prime_traces.jsonl"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    roles = ["system", "user", "assistant", "tool", "assistant"]
    assert json.loads(told.stdout) == [
        [
            [1, 2, 3, 4, 5, 6],
            [False, False, True, True, False, True],
            [0, 0, -0.25, -0.5, 0, -0.75],
            [0, 0, 1, 1, 0, 0],
            1.0,
            roles,
            0,
        ],
        [[1, 2, 3, 4], [False, False, True, True], [0, 0, -0.25, -0.5], [0, 0, -1, -1], 0.0, roles[:3], 0],
        [[9, 9, 6], [False, False, True], [0, 0, -0.75], None, 0.0, roles, 0],
    ]


def test_verl_takes_the_rollouts(tmp_path: Path) -> None:
    loop = pytest.importorskip("verl.experimental.agent_loop.agent_loop")
    [row] = rows("verl_rollouts", tmp_path)
    output = loop.AgentLoopOutput.model_validate(row)
    assert output.as_dict()["rm_scores"].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_slime_takes_the_samples(tmp_path: Path) -> None:
    types = pytest.importorskip("slime.utils.types")
    samples = [types.Sample.from_dict(row) for row in rows("slime_samples", tmp_path, retokenised="split")]
    assert [sample.effective_response_length for sample in samples] == [3, 2, 1]
    assert [sample.status for sample in samples] == [types.Sample.Status.COMPLETED] * 3
