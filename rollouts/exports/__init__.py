"""Training data from a run: what the gate admits, in the shapes that trainers read."""

from .exporter import EXPORTERS, Exporter, Row, check_formats, make_exporter
from .run import ExportSummary, export

__all__ = ["EXPORTERS", "ExportSummary", "Exporter", "Row", "check_formats", "export", "make_exporter"]
