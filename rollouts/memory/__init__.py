"""Memory: what solved earlier tasks, found again for similar ones, shown as untrusted examples."""

from .fence import format_examples
from .store import FLOOR, Memory, MemoryStore, open_memory

__all__ = ["FLOOR", "Memory", "MemoryStore", "format_examples", "open_memory"]
