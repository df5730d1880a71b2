"""What people look at: tables on a terminal and one self-contained page."""

from .report import write_report
from .summary import summary
from .tables import print_memories, print_run, print_task, ranking_tables

__all__ = ["print_memories", "print_run", "print_task", "ranking_tables", "summary", "write_report"]
