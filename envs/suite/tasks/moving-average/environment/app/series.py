"""Smoothing of measurement series."""


def _check_window(window):
    if window < 1:
        raise ValueError("window has to be at least 1")


def moving_average(values, window):
    """The mean of every full window, oldest first."""
    _check_window(window)
    if window > len(values):
        return []
    total = sum(values[:window])
    averages = [total / window]
    for right in range(window, len(values) - 1):
        total += values[right] - values[right - window]
        averages.append(total / window)
    return averages


def exponential(values, weight):
    """Exponential smoothing; `weight` in (0, 1] is that of the newest value."""
    if not 0 < weight <= 1:
        raise ValueError("weight has to be in (0, 1]")
    smoothed = []
    for value in values:
        if smoothed:
            value = weight * value + (1 - weight) * smoothed[-1]
        smoothed.append(value)
    return smoothed


def trend(values, window):
    """"up", "down" or "flat", from the last two averages."""
    averages = moving_average(values, window)
    if len(averages) < 2:
        return "flat"
    before, now = averages[-2:]
    if now > before:
        return "up"
    if now < before:
        return "down"
    return "flat"


def peaks(values):
    """Indexes of values that are larger than both neighbours."""
    return [i for i in range(1, len(values) - 1) if values[i - 1] < values[i] > values[i + 1]]
