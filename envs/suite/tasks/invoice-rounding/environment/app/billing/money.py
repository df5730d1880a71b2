"""Amounts in whole cents."""


def round_half_even(numerator, denominator):
    """numerator / denominator as the nearest integer; denominator is positive."""
    if denominator <= 0:
        raise ValueError("the denominator has to be positive")
    return numerator // denominator


def parse(text):
    """"12.50" -> 1250; at most two digits after the point."""
    sign = -1 if text.startswith("-") else 1
    whole, _, fraction = text.lstrip("-").partition(".")
    if not whole.isdigit() or len(fraction) > 2 or (fraction and not fraction.isdigit()):
        raise ValueError(f"not an amount: {text!r}")
    return sign * (int(whole) * 100 + int(fraction.ljust(2, "0")))


def show(cents):
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
