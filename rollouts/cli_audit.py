"""`rollouts audit ...`: measure what the figures rest on. Exit code 1: a problem was found."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from .audits import JudgeAudit, StrengthAudit
    from .config import RunConfig

audit = typer.Typer(help="Measure how far verifiers, judges and claims can be trusted.", no_args_is_help=True)


@audit.callback()
def _audit() -> None:
    """Measure how far verifiers, judges and claims can be trusted."""


@audit.command()
def verifier(
    tasks: Annotated[
        str, typer.Argument(help="suite, suite:starter, a task directory, a directory of them, a JSONL list")
    ] = "suite",
    task: Annotated[list[str] | None, typer.Option("--task", help="only this task; repeatable")] = None,
    exploit: Annotated[
        list[str] | None, typer.Option("--exploit", help="only this hack, by name; repeatable")
    ] = None,
    mutants: Annotated[int, typer.Option("--mutants", min=0, help="mutants of each solution")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="which mutants")] = 0,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a setting: backend.name=docker")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Try known hacks and mutants of the solution against the verifier, task by task.

    Ends with 1 when a hack got through, or when none could be tried.
    """
    from .audits import print_strength
    from .config import parse_config

    chosen = [f"tasks={json.dumps(tasks)}", *(overrides or ())]
    settings = parse_config("", chosen, origin="rollouts audit verifier")
    found = asyncio.run(_strength(settings, task or [], exploit or [], mutants, seed))
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_strength(found, Console())
    if not found.holds:
        raise typer.Exit(1)


async def _strength(
    settings: RunConfig, ids: list[str], hacks: list[str], mutants: int, seed: int
) -> StrengthAudit:
    from envs import load_tasks
    from kernel_pool.pool import KernelPool
    from verifiers.strength import StrengthReport

    from .audits import audit_tasks
    from .executor import build_backend, build_verifier, max_concurrent

    backend = build_backend(settings)
    pool = KernelPool(backend, max_concurrent(settings))
    try:
        chosen = load_tasks(settings.tasks, ids or None, images=backend.capabilities.images)
        done = 0

        def told(report: StrengthReport) -> None:
            nonlocal done
            done += 1
            found = report.problem or (
                f"{len(report.exploits_passed)} of {len(report.exploits)} hacks passed, "
                f"{report.mutants_killed} of {len(report.mutants)} mutants killed"
            )
            print(f"{done}/{len(chosen)} {report.name}: {found}", file=sys.stderr, flush=True)

        for problem in chosen.problems:
            print(f"skipped: {problem}", file=sys.stderr)
        judged_by = build_verifier(settings)
        return await audit_tasks(
            chosen.tasks, judged_by, pool, mutants=mutants, seed=seed, exploits=hacks, on_task=told
        )
    finally:
        await pool.close()
        await backend.close()


@audit.command()
def judge(
    config: Annotated[Path, typer.Argument(help="a run config with a section `judge`")],
    run: Annotated[
        list[Path] | None, typer.Option("--run", help="a run whose solved and failed branches are the labels")
    ] = None,
    labels: Annotated[Path | None, typer.Option("--labels", help="labelled pairs as JSON lines")] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="of each task, at most")] = 4,
    seed: Annotated[int, typer.Option("--seed", help="which pairs, and what is shown first")] = 0,
    against: Annotated[
        Path | None, typer.Option("--against", help="an earlier calibration, for drift")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="write the calibration here")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="override a setting")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure the configured judge on works whose truth is known. Ends with 1 when something speaks against it."""
    from .audits import print_judge
    from .config import load_config
    from .errors import ConfigError

    settings = load_config(config, overrides or ())
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out {out}: not a file that can be written; its directory has to be there")
    found = asyncio.run(_judge(settings, run or [], labels, pairs, seed, against))
    if out is not None:
        out.write_text(json.dumps(found.as_dict(), indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_judge(found, Console())
    if found.findings:
        raise typer.Exit(1)


async def _judge(
    settings: RunConfig, runs: list[Path], labels: Path | None, most: int, seed: int, against: Path | None
) -> JudgeAudit:
    from .audits import audit_judge, labelled_pairs, pairs_from_labels
    from .errors import ConfigError
    from .judging import JudgeService, judge_name, read_calibration

    if settings.judge is None:
        raise ConfigError("the config names no judge: add a section `judge` with a `policy`")
    given = [] if labels is None else pairs_from_labels(labels)
    for run in runs:
        given += labelled_pairs(run, most, seed)
    earlier = None
    if against is not None:
        earlier = read_calibration(against, judge_name(settings.judge))
        if not {pair.key for pair in given} & earlier["outcomes"].keys():
            raise ConfigError(
                f"--against {against}: none of its pairs is among those given, so no drift can be told"
            )
    service = JudgeService(settings.judge, None)
    try:
        floor = 0.5 if settings.judge.floor is None else settings.judge.floor
        return await audit_judge(service.judge, given, seed=seed, floor=floor, earlier=earlier)
    finally:
        await service.close()


@audit.command()
def claim(
    a: Annotated[
        Path, typer.Argument(help="per-item results: JSON, JSON lines, lm-evaluation-harness, inspect")
    ],
    b: Annotated[Path, typer.Argument(help="the other results, of the same items")],
    common: Annotated[bool, typer.Option("--common", help="leave out items that only one file has")] = False,
    metric: Annotated[str | None, typer.Option("--metric", help="which score or scorer counts")] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="which filter of lm-evaluation-harness counts")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="a graded score is right from here on")
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option("--epoch", help="the run of each item that counts; the others are its repeats"),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", min=1, help="the limit, where the files tell tokens but no limit"),
    ] = None,
    complete: Annotated[
        list[str] | None,
        typer.Option("--complete", help="A or B: none of its outputs was cut off; repeatable"),
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", min=0.0001, max=0.5, help="level of every test")] = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Audit a claimed difference between two results: ok, inconclusive or artefact, and why.

    Ends with 1 when the difference is an artefact of how it was measured.
    """
    from .audits import Reading, audit_claim, print_claim, read_results
    from .errors import ConfigError

    sides = {side.upper() for side in complete or ()}
    if not sides <= {"A", "B"}:
        raise ConfigError(f"--complete {', '.join(complete or ())}: A or B")
    reading = Reading(metric, filter_, threshold, epoch, max_tokens)
    found = audit_claim(
        read_results(a, reading), read_results(b, reading), common=common, complete=sides, alpha=alpha
    )
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_claim(found, Console())
    if found.artefact:
        raise typer.Exit(1)


@audit.command()
def contamination(
    train: Annotated[
        list[str],
        typer.Option(
            "--train", help="JSON, JSONL, Parquet or text, a directory, tasks, a run, an export; repeatable"
        ),
    ],
    test: Annotated[
        list[str], typer.Option("--test", help="the evaluation items, in the same forms; repeatable")
    ],
    field: Annotated[
        list[str] | None, typer.Option("--field", help="of JSON, only texts under this name; repeatable")
    ] = None,
    words: Annotated[int, typer.Option("--words", help="length of a run in words")] = 8,
    threshold: Annotated[
        float,
        typer.Option("--threshold", help="contaminated: so much of an evaluation text in one training item"),
    ] = 0.5,
    partial: Annotated[float, typer.Option("--partial", help="told as partial from this share on")] = 0.2,
    common: Annotated[
        int | None, typer.Option("--common", help="leave out runs that more evaluation items than this share")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Look for evaluation items in training text: shared runs of words or characters, however they are disguised.

    Ends with 1 when an item is contaminated, or when something could not be read. Of evaluation items, system
    prompts, tool results and tool schemas are left out; training items are searched in full. Paraphrases and
    translations are not found.
    """
    from .audits import Unread, audit_contamination, print_contamination, read_corpus
    from .governance import ContaminationSettings

    settings = ContaminationSettings(words=words, threshold=threshold, partial=partial, common=common)
    unread, fields = Unread(), field or ()
    found = audit_contamination(
        read_corpus(test, unread, evaluation=True, fields=fields),
        read_corpus(train, unread, evaluation=False, fields=fields),
        settings,
        unread,
    )
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_contamination(found, Console())
    if not found.clean:
        raise typer.Exit(1)


@audit.command()
def ranking(
    run: Annotated[Path, typer.Argument(help="a finished run")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Whether the order of a run's branches means something: a blind judge against outcomes, cross-fits, false winners.

    Ends with 1 when the judge was shown what a verifier said.
    """
    from .audits import audit_ranking, print_ranking
    from .store import RunStore

    with RunStore.open(run) as store:
        found = audit_ranking(store)
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_ranking(found, Console())
    if not found.blind:
        raise typer.Exit(1)
