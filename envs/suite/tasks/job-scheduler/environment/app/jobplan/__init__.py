from .jobs import CycleError, Job, UnknownJob
from .ordering import order
from .planning import makespan, plan

__all__ = ["CycleError", "Job", "UnknownJob", "makespan", "order", "plan"]
