"""Ranking of five-card poker hands."""

VALUES = {char: value for value, char in enumerate("23456789TJQKA", start=2)}
SUITS = "CDHS"

KINDS = [
    "high card",
    "pair",
    "two pairs",
    "three of a kind",
    "straight",
    "flush",
    "full house",
    "four of a kind",
    "straight flush",
]


def parse(text):
    """"2C KD ..." -> [(2, "C"), (13, "D"), ...]."""
    cards = []
    for word in text.split():
        if len(word) != 2 or word[0] not in VALUES or word[1] not in SUITS:
            raise ValueError(f"not a card: {word!r}")
        cards.append((VALUES[word[0]], word[1]))
    if len(cards) != 5 or len(set(cards)) != 5:
        raise ValueError("a hand has five different cards")
    return cards


def grouped(values):
    """Values by how often they occur, then by height: [K, K, 9, 5, 2] -> [(2, 13), (1, 9), ...]."""
    counts = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return sorted(((count, value) for value, count in counts.items()), reverse=False)


def straight_top(values):
    """The highest card of a straight, or 0."""
    distinct = sorted(set(values))
    if len(distinct) != 5:
        return 0
    if distinct[4] - distinct[0] == 4:
        return distinct[4]
    if distinct[3] == 5 and distinct[4] == 13:
        return 5
    return 0


def score(text):
    """A tuple that is larger for a better hand."""
    cards = parse(text)
    values = [value for value, _ in cards]
    flush = len({suit for _, suit in cards}) == 1
    top = straight_top(values)
    groups = grouped(values)
    pattern = sorted((count for count, _ in groups), reverse=True)
    ranks = [value for _, value in groups]
    if top and flush:
        return (8, [top])
    if pattern == [4, 1]:
        return (7, ranks)
    if pattern == [3, 2]:
        return (6, ranks)
    if flush:
        return (5, ranks)
    if top:
        return (4, [top])
    if pattern == [3, 1, 1]:
        return (3, ranks)
    if pattern == [2, 2, 1]:
        return (2, ranks)
    if pattern == [2, 1, 1, 1]:
        return (1, ranks)
    return (0, ranks)


def kind(text):
    return KINDS[score(text)[0]]


def winners(hands):
    """The hand or hands that win."""
    best = max(score(hand) for hand in hands)
    return [hand for hand in hands if score(hand) == best]
