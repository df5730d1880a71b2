"""What stands before memory and exports: only a record the gate has let through gets there."""

from .gate import Admitted, Gate, GatePolicy, Refused
from .injection import instruction_like
from .redact import Redactor

__all__ = ["Admitted", "Gate", "GatePolicy", "Redactor", "Refused", "instruction_like"]
