from .allocation import allocate
from .invoice import Invoice
from .money import parse, round_half_even, show

__all__ = ["Invoice", "allocate", "parse", "round_half_even", "show"]
