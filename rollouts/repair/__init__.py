"""Compliance repair: have a policy answer a task under constraints, and mend what it violates.

Read `modes.py` first, then `workshop.py`. `training.py` turns records into training data, `statistics.py`
compares the modes, `batch.py` runs many tasks into a directory.
"""

from .compliance import run_compliance
from .records import MODES, Attempt, ComplianceRecord, Mode
from .workshop import RepairSettings

__all__ = ["MODES", "Attempt", "ComplianceRecord", "Mode", "RepairSettings", "run_compliance"]
