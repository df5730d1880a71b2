"""Training data from a run: what the gate admits, in the shapes that trainers read."""

from .exporter import EXPORTERS, Exporter, Row, check_formats, make_exporter, told_exports
from .rollout import Credit, Rollout
from .run import ExportSummary, check_exports, export

__all__ = [
    "EXPORTERS",
    "Credit",
    "ExportSummary",
    "Exporter",
    "Rollout",
    "Row",
    "check_exports",
    "check_formats",
    "export",
    "make_exporter",
    "told_exports",
]
