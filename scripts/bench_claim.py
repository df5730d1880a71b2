"""How often the audit of a claim errs when the two policies are equal, with truncation that is not.

    python scripts/bench_claim.py [--runs 1000] [--json]

Two equal policies answer n = 200 items, each right with probability 0.65, independently; some outputs of each
side are cut off at random and then wrong. Counted: a naive paired test below 0.05, the audit's `ok`, its `artefact`.
Each rate has two Monte Carlo standard errors in its note.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np

from ranking.claims import audit

Row = tuple[str, float, float | None, str]

ITEMS = 200
ACCURACY = 0.65
#: Shares of outputs cut off, A and B
TRUNCATION = ((0.0, 0.0), (0.15, 0.05), (0.25, 0.10), (0.25, 0.0))
LEVEL = 0.05


def false_claims(runs: int, seed: int = 0) -> Iterator[Row]:
    """Rates of naive significance, `ok` and `artefact` between equal policies."""
    for share_a, share_b in TRUNCATION:
        rng = np.random.default_rng((seed, round(100 * share_a), round(100 * share_b)))
        naive = ok = artefact = 0
        for _ in range(runs):
            cut_a, cut_b = rng.random(ITEMS) < share_a, rng.random(ITEMS) < share_b
            right_a = (rng.random(ITEMS) < ACCURACY) & ~cut_a
            right_b = (rng.random(ITEMS) < ACCURACY) & ~cut_b
            found = audit(right_a.tolist(), right_b.tolist(), cut_a.tolist(), cut_b.tolist())
            naive += found.table.p_exact < LEVEL
            ok += found.verdict == "ok"
            artefact += found.verdict == "artefact"
        where = f"equal policies, cut off {share_a:.0%}/{share_b:.0%}"
        limit = LEVEL + 2 * (LEVEL * (1 - LEVEL) / runs) ** 0.5
        yield f"{where}: naive p < 0.05", naive / runs, None, _error(naive, runs)
        yield f"{where}: verdict ok", ok / runs, round(limit, 4), _error(ok, runs)
        yield f"{where}: verdict artefact", artefact / runs, None, _error(artefact, runs)


def _error(hits: int, runs: int) -> str:
    share = hits / runs
    return f"+- {2 * (share * (1 - share) / runs) ** 0.5:.4f}, {runs} runs"


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000, help="simulated claims for each setting")
    parser.add_argument("--json", action="store_true", help="print [{measure, value, limit, note}]")
    options = parser.parse_args()
    rows = list(false_claims(options.runs))
    if options.json:
        print(
            json.dumps([dict(zip(("measure", "value", "limit", "note"), row, strict=True)) for row in rows])
        )
        return
    for measure, value, limit, note in rows:
        print(f"{measure:<55} {value:.4f}{'' if limit is None else f'  (limit {limit})'}  {note}")


if __name__ == "__main__":
    main()
