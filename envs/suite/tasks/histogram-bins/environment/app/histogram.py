"""Histograms with equal bins, drawn as text."""


def bounds(values, low=None, high=None):
    low = min(values) if low is None else low
    high = max(values) if high is None else high
    if low > high:
        raise ValueError("low is above high")
    return low, high


def bin_index(value, low, high, bins):
    """The bin of a value inside [low, high]; the last bin includes its upper edge."""
    if low == high:
        return 0
    index = int((value - low) / (high - low) * bins)
    return min(index, bins)


def histogram(values, bins=10, low=None, high=None):
    """How many values fall into each bin."""
    if bins < 1:
        raise ValueError("there has to be at least one bin")
    counts = [0] * bins
    if not values:
        return counts
    low, high = bounds(values, low, high)
    for value in values:
        if low <= value <= high:
            counts[bin_index(value, low, high, bins)] += 1
    return counts


def outside(values, low, high):
    """How many values lie below and above a range."""
    return sum(v < low for v in values), sum(v > high for v in values)


def render(counts, width=20):
    """One line per bin; the fullest one is `width` characters wide."""
    largest = max(counts, default=0)
    lines = []
    for count in counts:
        length = round(count * width / largest) if largest else 0
        lines.append(f"{count:>4} {'#' * length}".rstrip())
    return "\n".join(lines)
