"""Half-open intervals [start, end) of bookings within one day."""


def check(interval):
    start, end = interval
    if start >= end:
        raise ValueError(f"an interval has to end after its start: {interval}")
    return start, end


def merge(intervals):
    """Join intervals that overlap or touch; the result is sorted."""
    merged = []
    for start, end in sorted(check(i) for i in intervals):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def free_slots(intervals, opening, closing):
    """The gaps between bookings within opening hours."""
    slots = []
    at = opening
    for start, end in merge(intervals):
        if end <= opening or start >= closing:
            continue
        if start != at:
            if start > at:
                slots.append((at, start))
        at = max(at, end)
    if at < closing:
        slots.append((at, closing))
    return slots


def covered(intervals):
    """How much time is booked, counting overlaps once."""
    return sum(end - start for start, end in merge(intervals))


def overlaps(a, b):
    return a[0] < b[1] and b[0] < a[1]
