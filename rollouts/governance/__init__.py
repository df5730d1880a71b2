"""What stands before memory and exports: only a record the gate has let through gets there."""

from .contamination import EvaluationIndex, Item, Passage
from .contamination import Settings as ContaminationSettings
from .gate import Admitted, Gate, GatePolicy, Refused
from .injection import instruction_like
from .redact import Redactor

__all__ = [
    "Admitted",
    "ContaminationSettings",
    "EvaluationIndex",
    "Gate",
    "GatePolicy",
    "Item",
    "Passage",
    "Redactor",
    "Refused",
    "instruction_like",
]
