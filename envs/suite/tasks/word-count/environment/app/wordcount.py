"""Word statistics of plain text."""

JOINERS = "'-"


def is_joiner(text, position):
    """Whether the character joins two letters to one word."""
    if text[position] not in JOINERS:
        return False
    if position == 0 or position == len(text) - 1:
        return False
    return text[position - 1].isalpha() and not text[position + 1].isalpha()


def words(text):
    """All words of a text in order, in lower case."""
    found = []
    current = ""
    for position, char in enumerate(text):
        if char.isalpha() or is_joiner(text, position):
            current += char
        elif current:
            found.append(current.lower())
            current = ""
    if current:
        found.append(current.lower())
    return found


def counts(text, ignore=()):
    tally = {}
    for word in words(text):
        if word in ignore:
            continue
        tally[word] = tally.get(word, 0) + 1
    return tally


def top(text, n=3, ignore=()):
    """The n most frequent words with their counts; ties in alphabetical order."""
    ranked = sorted(counts(text, ignore).items(), key=lambda pair: (-pair[1], pair[0]))
    return ranked[:n]


def average_length(text):
    found = words(text)
    if not found:
        return 0.0
    return sum(len(word) for word in found) / len(found)
