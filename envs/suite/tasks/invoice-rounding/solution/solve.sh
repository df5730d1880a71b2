#!/bin/bash
# Rounding is half to even, cents are dealt out by largest remainder, and tax is computed per rate.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "billing/money.py",
    '''\
    return numerator // denominator
''',
    '''\
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        whole += 1
    return whole
''',
)
replace(
    "billing/allocation.py",
    '''\
    return [total * weight // whole for weight in weights]
''',
    '''\
    if whole == 0 or any(weight < 0 for weight in weights):
        raise ValueError("weights have to be non-negative and not all 0")
    if total < 0:
        return [-part for part in allocate(-total, weights)]
    parts = [total * weight // whole for weight in weights]
    missing = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in by_remainder[:missing]:
        parts[at] += 1
    return parts
''',
)
replace(
    "billing/invoice.py",
    '''\
        taxes = {}
        for (_, amount, rate) in self.lines:
            taxes[rate] = taxes.get(rate, 0) + round_half_even(amount * rate, 1000)
        return taxes
''',
    '''\
        bases = {}
        for (_, _, rate), amount in zip(self.lines, self.discounted()):
            bases[rate] = bases.get(rate, 0) + amount
        return {rate: round_half_even(base * rate, 1000) for rate, base in bases.items()}
''',
)
EOF
