"""Training data from a run: what the gate admits, in the shapes that trainers read."""

from .exporter import EXPORTERS, Exporter, Row, check_formats, make_exporter
from .rollout import Credit, Rollout
from .run import ExportSummary, export

__all__ = [
    "EXPORTERS",
    "Credit",
    "ExportSummary",
    "Exporter",
    "Rollout",
    "Row",
    "check_formats",
    "export",
    "make_exporter",
]
