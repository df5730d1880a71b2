"""Audits: how far the verifiers, judges and claims of this project can be trusted, measured."""

from .strength import StrengthAudit, audit_tasks, print_strength

__all__ = ["StrengthAudit", "audit_tasks", "print_strength"]
