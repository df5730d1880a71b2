"""Splitting an amount without losing a cent."""


def allocate(total, weights):
    """Parts of `total` in proportion to `weights`; they add up to it."""
    whole = sum(weights)
    return [total * weight // whole for weight in weights]
