"""Does it learn? Rollouts train the mutation policy's weights, which are then compared with where they began.

    python scripts/learn.py [--out runs/learn] [--seed 0] [--rounds 3] [--base shipped|flat] [--quick]

The same call goes on where it was interrupted. The last line on stdout is JSON: the trained policy against the
base on programs never trained on. `--quick` is a small run that shows that everything works, and no evidence.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kernel_pool.errors import KernelError
from rollouts.errors import RolloutError
from rollouts.learning.loop import Settings, learn
from rollouts.learning.report import result, sentences, write_report


def main() -> int:
    """Learn, compare, draw; 0 when it was carried out, whatever came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("runs/learn"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base", choices=("shipped", "flat"), default="shipped")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.rounds < 1 or given.seed < 0:
        parser.error("--rounds: at least 1; --seed: 0 or more")
    settings = Settings(seed=given.seed, base=given.base, rounds=given.rounds)
    if given.quick:
        settings = Settings(
            seed=given.seed, base=given.base, rounds=min(2, given.rounds), training=6, held_out=8, seeds=2
        )
    try:
        learned = learn(given.out, settings)
    except (RolloutError, KernelError) as error:
        print(f"learn: {error}", file=sys.stderr)
        return 3
    for line in (*sentences(learned), *map(str, write_report(learned, given.out))):
        print(line)
    print(json.dumps(result(learned)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
