"""One compliance run from end to end: a task, its constraints, a policy, a mode -> a record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

from envs.trajectory import Ending
from verifiers.constraints import ConstraintSet

from ..policies import Policy
from ..records import TaskLayer
from .modes import RUN
from .records import ComplianceRecord, Mode
from .workshop import RepairSettings, Workshop

N = TypeVar("N", int, float)

_BUDGETS = frozenset({"tokens", "seconds", "context"})


async def run_compliance(
    task: TaskLayer | str,
    constraints: ConstraintSet,
    policy: Policy,
    mode: Mode = "full_pcl",
    *,
    seed: int | None = 0,
    settings: RepairSettings | None = None,
) -> ComplianceRecord:
    """Have a policy answer a task (its layer, or just the prompt) and, by mode, mend the answer.

    Always a record: a failed endpoint is in its ending, with the attempts before it. A final pass is the same
    in every mode: no hard constraint is violated at the end, and there is a text. Attempt k has the seed `seed + k`, so the first
    answer is the same in all modes with one seed, where the model keeps to it. Raises `ConfigError` when the
    constraints speak of more than one text.
    """
    layer = task if isinstance(task, TaskLayer) else _bare(task)
    settings = settings or RepairSettings()
    shop = Workshop(layer.instruction, constraints, policy, settings, seed)
    started_at = time.time()
    await RUN[mode](shop)
    return _record(shop, layer, mode, started_at)


def _bare(prompt: str) -> TaskLayer:
    digest = sha256(prompt.encode("utf-8", "replace")).hexdigest()
    return TaskLayer(task_id=digest[:16], digest=digest, instruction=prompt)


def _record(shop: Workshop, task: TaskLayer, mode: Mode, started_at: float) -> ComplianceRecord:
    ending, error = _ending(shop)
    usages = [attempt.usage for attempt in shop.attempts]
    return ComplianceRecord(
        task=task,
        mode=mode,
        seed=shop.seed,
        policy=shop.policy.name,
        model=shop.policy.model,
        constraints=list(shop.constraints.constraints),
        constraints_digest=shop.constraints.digest,
        settings=shop.settings.model_dump(mode="json"),
        attempts=shop.attempts,
        final=shop.current,
        violations=[] if shop.found is None else [result for _, result in shop.found.violations],
        final_pass={"solved": True, "failed": False, "truncated": False}.get(ending),
        ending=ending,
        stop=shop.stop or ("passed" if ending == "solved" else "replied"),
        error=error,
        input_tokens=_total([usage.input_tokens for usage in usages]),
        output_tokens=_total([usage.output_tokens for usage in usages]),
        cost_usd=_total([usage.cost_usd for usage in usages]),
        seconds=time.monotonic() - shop.began,
        started_at=started_at,
    )


def _ending(shop: Workshop) -> tuple[Ending, str]:
    """How it ended. A text that passes has passed, whatever stopped the work on its soft constraints."""
    if shop.found is not None and shop.found.passed:
        return "solved", shop.error
    if shop.error:
        return "policy_error", shop.error
    if shop.found is not None and shop.found.undecided:
        told = "; ".join(f"{r.id}: {r.message}" for r in shop.found.results if r.outcome == "error")
        return "infra_error", f"the constraints could not be told: {told}"[:2000]
    return ("truncated" if shop.stop in _BUDGETS else "failed"), ""


def _total(values: Sequence[N | None]) -> N | None:
    """Sum of what was reported; None when nothing was."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
