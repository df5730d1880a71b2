"""The command line. Exit codes: 0 done, 1 the work found a problem, 2 the call was wrong, 3 something lacks."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from envs.errors import TaskError
from kernel_pool import BackendUnavailable, KernelError

from .cli_audit import audit
from .cli_compare import compare
from .config import RunConfig, load_config, options_from, parse_config
from .errors import ConfigError, RolloutError
from .store import RunStore

if TYPE_CHECKING:
    from .progress import Progress
    from .views.summary import RunFigures

app = typer.Typer(
    name="rollouts",
    help="Run a coding agent N ways from the same state, find out which way was better, make training data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(audit, name="audit")
app.command()(compare)

INTERRUPTED = 130

RunArg = Annotated[Path, typer.Argument(help="a run directory")]
JsonOpt = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="a YAML run config, for instance configs/quickstart.yaml")],
    out: Annotated[
        Path | None, typer.Option("--out", help="run directory; an unfinished one is finished")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a setting: a.b=value")
    ] = None,
) -> None:
    """Run a batch (the same command again finishes it). The last line printed is the run directory.

    Ends with 1 when no branch of the run has an outcome; tasks that were skipped are told.
    """
    from .batch import run_batch

    settings = load_config(config, overrides or ())
    target = out or _fresh_run_dir(config)
    result = asyncio.run(run_batch(settings, target, _progress()))
    figures = _print_summary(target)
    if result.resumed and not result.branches:
        print("nothing was left to do", file=sys.stderr)
    print(target)
    if not any(task.counted for task in figures.tasks):
        raise typer.Exit(1)


@app.command()
def fork(
    run_dir: RunArg,
    branch: Annotated[str, typer.Option("--branch", help="TASK/bNNN, or bNNN when the run has one task")],
    step: Annotated[int, typer.Option("--step", help="how many steps the new branches share with it")],
    n: Annotated[int, typer.Option("-n", "--branches", help="how many new branches")] = 4,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override a setting for the new branches")
    ] = None,
) -> None:
    """Fork a finished branch at one of its steps into N new branches of the same rollout."""
    from .refork import refork

    with RunStore.open(run_dir) as store:
        settings = parse_config(store.config_text, overrides or (), origin=str(run_dir / "config.yaml"))
    asyncio.run(refork(settings, run_dir, branch, step, n, _progress()))
    print(run_dir)


@app.command()
def rank(run_dir: RunArg, as_json: JsonOpt = False) -> None:
    """Rank every rollout of a run again, from its records and what was said and found of them."""
    from .confirmation import remembering
    from .rankings import rank_rollout

    with RunStore.open(run_dir) as store:
        earlier = store.rankings()
        rankings = []
        for group in store.rollouts():
            known = earlier.get(group[0].lineage.rollout_id)
            ranking = rank_rollout(group, known.judge if known else None)
            if known is not None:
                ranking = remembering(ranking, known).model_copy(update={"stopping": known.stopping})
            rankings.append(ranking)
    if as_json:
        print(json.dumps([r.model_dump(mode="json") for r in rankings]))
        return
    from .views import ranking_tables

    ranking_tables(rankings, Console())


@app.command()
def show(run_dir: RunArg, as_json: JsonOpt = False, task: str | None = None) -> None:
    """A table of all tasks; with --task the fork tree and the ranking of one."""
    from .views import print_run, print_task, summary

    with RunStore.open(run_dir) as store:
        if as_json:
            print(json.dumps(summary(store)))
        elif task:
            print_task(store, task, Console())
        else:
            print_run(store, Console())


@app.command()
def report(run_dir: RunArg) -> None:
    """Write report.html, one self-contained page, and print its path."""
    from .views import write_report

    with RunStore.open(run_dir) as store:
        print(write_report(store))


@app.command()
def export(
    run_dir: RunArg,
    to: Annotated[
        str | None,
        typer.Option("--to", help="the trainer or kind of data; without it, a list", metavar="NAME"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="directory; default: RUN/exports/NAME")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="an option of the export, a=value; repeatable")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", help="jsonl, parquet, ...; default: all it can be; repeatable"),
    ] = None,
    as_json: JsonOpt = False,
) -> None:
    """Write training data from a run."""
    from .exports import check_formats, told_exports
    from .exports import export as write

    if to is None:
        for name, what in told_exports().items():
            print(f"{name:<16} {what}")
        return
    check_formats([to])
    with RunStore.open(run_dir) as store:
        place = out or run_dir / "exports" / to
        done = write(store, to, place, fmt=file, **options_from(option or []))
    if as_json:
        print(json.dumps(done.as_dict()))
        return
    print(f"{done.rows} rows from {done.admitted} of {done.branches} branches")
    for reason, count in sorted(done.excluded.items()):
        print(f"  left out: {count} x {reason}")
    for path in done.files:
        print(path)


@app.command()
def memory(
    path: Annotated[Path, typer.Argument(help="a memory file, for instance runs/memory.sqlite")],
    query: Annotated[str | None, typer.Option("--query", help="show what this text would retrieve")] = None,
    k: Annotated[int, typer.Option("-k")] = 5,
    namespace: str = "default",
    as_json: JsonOpt = False,
) -> None:
    """What is in a memory, or what it would show for a text."""
    from .memory import open_memory
    from .views import print_memories

    if not path.exists():
        raise ConfigError(f"{path}: no such memory; a batch makes one beside its run directory")
    store = open_memory("sqlite", path)
    found = store.retrieve(query, k=k, namespace=namespace) if query else store.recent(k, namespace=namespace)
    if as_json:
        print(json.dumps([m.as_dict() for m in found]))
    else:
        print_memories(found, store.count(namespace=namespace), Console())
    store.close()


@app.command()
def comply(
    tasks: Annotated[str, typer.Argument(help="tasks with constraints, for instance suite:constraints")],
    out: Annotated[Path, typer.Option("--out", help="directory; an unfinished one is finished")],
    mode: Annotated[
        list[str] | None, typer.Option("--mode", help="direct, prompt_retry, full_pcl (the default)")
    ] = None,
    policy: Annotated[str, typer.Option("--policy", help="who answers")] = "openai",
    option: Annotated[
        list[str] | None, typer.Option("--option", help="of the policy: name=value, for instance model=...")
    ] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="only these")] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed")] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="replies after the first")] = 3,
    tokens: Annotated[int | None, typer.Option("--tokens", help="bound for each task")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="bound for each task")] = None,
    patches: Annotated[
        bool, typer.Option(help="string edits that only please the checker, marked as such")
    ] = True,
    as_json: JsonOpt = False,
) -> None:
    """Have a policy answer tasks under constraints and mend its answers; the modes are compared by task.

    Ends with 1 when no answer has an outcome; why is told.
    """
    from .repair.command import run_comply, settings_of

    done = asyncio.run(
        run_comply(
            tasks,
            out,
            modes=mode or ["full_pcl"],
            policy=policy,
            options=options_from(option or []),
            ids=task,
            seeds=seed or [0],
            settings=settings_of(rounds=rounds, tokens=tokens, seconds=seconds, patches=patches),
        )
    )
    if as_json:
        print(json.dumps(done.as_dict()))
    else:
        for line in done.lines():
            print(line)
        print(out)
    if not done.counted:
        raise typer.Exit(1)


@app.command()
def doctor(
    as_json: JsonOpt = False,
    clean: Annotated[bool, typer.Option("--clean", help="remove what dead processes left behind")] = False,
) -> None:
    """What works on this machine, what is weaker than it could be, and what to do about it."""
    from .doctor import examine

    findings = asyncio.run(examine(clean=clean))
    if as_json:
        print(json.dumps([f.as_dict() for f in findings]))
    else:
        for finding in findings:
            print(finding)
    if any(f.lacks for f in findings):
        raise typer.Exit(3)


def main() -> None:
    """Entry point: named errors become one line and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        code = app(standalone_mode=False)  # that of a `typer.Exit`, or INTERRUPTED
        if code == INTERRUPTED:
            _fail(
                "stopped; what was done is kept, and the same command with the same --out goes on from there",
                code,
            )
        sys.exit(code)
    except (RolloutError, TaskError) as error:
        _fail(str(error), getattr(error, "exit_code", 2))
    except BackendUnavailable as error:
        _fail(str(error), 3)
    except KernelError as error:
        _fail(str(error), 1)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            _fail(f"{error.format_message()} (see --help)", 2)
        raise


def _fail(message: str, code: int) -> None:
    print(f"rollouts: {message}", file=sys.stderr)
    sys.exit(code)


def _progress() -> Progress:
    from .progress import PlainProgress, TerminalProgress

    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()


def _print_summary(run_dir: Path) -> RunFigures:
    from .views import print_run

    with RunStore.open(run_dir) as store:
        return print_run(store, Console(), brief=True)


def _fresh_run_dir(config: Path) -> Path:
    """runs/<config name>-<n>, the first that is free."""
    number = 1
    while (path := Path("runs") / f"{config.stem}-{number}").exists():
        number += 1
    return path


__all__ = ["RunConfig", "app", "main"]
