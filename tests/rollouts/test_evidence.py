"""Pictures of a verdict: kept once by digest in the run directory, and shown by the report in a real browser."""

from __future__ import annotations

import base64
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from small_tasks import call

from envs import load_tasks
from kernel_pool import BaseSpec, KernelPool
from kernel_pool.registry import backend
from rollouts.fork import ForkRunner
from rollouts.plan import Independent
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.store import RunStore
from rollouts.store.evidence import EvidenceStore
from rollouts.views.pictures import Pictures
from rollouts.views.report import write_report
from verifiers import Evidence, Submission, TestPlan, Verdict
from verifiers.pixels import decode, encode
from verifiers.visual import VisualVerifier

WORK = [
    call("edit_file", path="index.html", old=" border: 2px solid black;", new=""),
    call("submit", answer="<img src=x onerror=alert(1)>"),
]


def shot(color: int, name: str = "page.png") -> Evidence:
    return Evidence.of(name, "image/png", encode(np.full((6, 8, 3), color, dtype=np.uint8)))


def verdict(*evidence: Evidence, parts: tuple[Verdict, ...] = ()) -> Verdict:
    return Verdict(verifier="visual", outcome="fail", score=0.0, evidence=evidence, parts=parts)


def test_a_picture_is_stored_once_by_its_digest_and_the_verdict_keeps_the_digest_alone(
    tmp_path: Path,
) -> None:
    store = EvidenceStore(tmp_path / "evidence")
    one, same, inner = shot(1), shot(1, "again.png"), shot(2)
    kept = store.keep(verdict(one, same, parts=(verdict(inner),)))
    files = {path.name for path in (tmp_path / "evidence").iterdir()}
    assert files == {f"{one.digest}.png", f"{inner.digest}.png"}
    assert [each.data for each in (*kept.evidence, *kept.parts[0].evidence)] == [None] * 3
    assert kept.evidence[0].digest == one.digest and store.read(kept.evidence[0]) == one.data
    assert "data" not in json.loads(kept.model_dump_json())["evidence"][0]


def test_what_is_no_picture_or_not_what_the_record_says_is_neither_stored_nor_shown(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "evidence")
    html = Evidence.of("a.html", "text/html", b"<script>")
    fake = Evidence.of("b.png", "image/png", b"<script>")
    wrong = shot(3).model_copy(update={"digest": shot(4).digest})
    outside = shot(5).model_copy(update={"digest": "../../config"})
    store.keep(verdict(html, fake, wrong, outside))
    assert not (tmp_path / "evidence").exists()
    store.keep(verdict(shot(6)))
    (tmp_path / "evidence" / f"{shot(6).digest}.png").write_bytes(b"\x89PNG\r\n\x1a\nother")
    assert [store.read(each) for each in (html, fake, wrong, outside, shot(6))] == [None] * 5


def test_a_page_shows_pictures_up_to_its_bound_and_names_the_others(tmp_path: Path) -> None:
    one, two = shot(1, "one.png"), shot(2, "two.png")
    EvidenceStore(tmp_path / "evidence").keep(verdict(one, two))
    shown = Pictures(tmp_path, page_bytes=one.size).of(verdict(one, two, shot(9, "lost.png")))
    assert [(p["name"], bool(p["png"]), bool(p["file"])) for p in shown] == [
        ("one.png", True, True),
        ("two.png", False, True),
        ("lost.png", False, False),
    ]
    assert sha256(base64.b64decode(shown[0]["png"])).hexdigest() == one.digest


async def test_a_run_keeps_the_pictures_of_its_branches_and_the_report_shows_them(tmp_path: Path) -> None:
    task = load_tasks("suite:visual", ["flag-colors"]).tasks[0]
    sandbox = backend("local", state_dir=tmp_path / "state")
    pool = KernelPool(sandbox, 2)
    run = tmp_path / "run"
    with RunStore.create(run, "branches: 2\n", run_id="run-1", sync=False) as store:
        evidence = EvidenceStore(run / "evidence")
        runner = ForkRunner(pool, ScriptedPolicy.of(WORK), VisualVerifier(), evidence=evidence)
        with store.writer("driver") as writer:
            async for record in runner.run(task, Independent(2)):
                assert record.result.ending == "failed" and record.result.verdict is not None
                assert [e.name for e in record.result.verdict.evidence] == [
                    "flag.png",
                    "flag-looks-difference.png",
                ]
                assert all(evidence.read(e) for e in record.result.verdict.evidence)
                writer.append(record)
    assert len(list((run / "evidence").iterdir())) == 2, "both branches show the same"
    report = write_report(RunStore.open(run)).read_bytes()
    seen = await _opened(pool, report)
    await pool.close()
    await sandbox.close()
    assert seen.passed, seen
    assert decode(next(e.data for e in seen.evidence if e.data)).shape == (900, 1300, 3)


async def _opened(pool: KernelPool, report: bytes) -> Verdict:
    """The report in the browser, with its task opened."""
    base = await pool.prepare(BaseSpec())
    async with pool.lease(base) as kernel:
        await kernel.write("/app/report.html", report)
        snapshot = await kernel.snapshot()
    png = re.search(rb'"png":"(iVBOR[A-Za-z0-9+/=]+)"', report)
    assert png is not None
    page: dict[str, Any] = {
        "path": "report.html",
        "viewport": {"width": 1300, "height": 900},
        "actions": [{"click": "tr.row"}, {"click": "summary:has-text('what they say')"}],
        "checks": [
            {"id": "shown", "kind": "visible", "selector": ".shots img"},
            {
                "id": "pictures",
                "kind": "selector",
                "selector": ".shots img",
                "count": 2,
                "attributes": {"src": f"data:image/png;base64,{png[1].decode()}", "alt": "flag.png"},
            },
            {"id": "said", "kind": "selector", "selector": ".branch pre", "contains": "flag/looks:"},
            {"id": "console", "kind": "console"},
        ],
    }
    extras = {"visual": {"pages": [page]}}
    plan = TestPlan(Path("/nonexistent"))
    return await VisualVerifier().verify(Submission("", snapshot, plan, base=base, extras=extras), pool)
