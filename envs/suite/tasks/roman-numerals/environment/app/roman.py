"""Roman numerals from 1 to 3999."""

VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}

STEPS = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
]


def to_roman(number):
    if not 1 <= number <= 3999:
        raise ValueError(f"no Roman numeral for {number}")
    parts = []
    for value, letters in STEPS:
        count, number = divmod(number, value)
        parts.append(letters * count)
    return "".join(parts)


def numeral_value(text):
    """The value of a string of numerals, however odd it looks."""
    total = 0
    for position, letter in enumerate(text):
        value = VALUES[letter]
        following = text[position + 1 : position + 2]
        if following and VALUES[following] > value:
            total += value
        else:
            total += value
    return total


def parse_roman(text):
    """The number a proper numeral stands for; raises ValueError for anything else."""
    text = text.strip().upper()
    if not text or any(letter not in VALUES for letter in text):
        raise ValueError(f"not a Roman numeral: {text!r}")
    value = numeral_value(text)
    return value


def is_roman(text):
    """Whether the text is the one proper way of writing its number."""
    try:
        value = parse_roman(text)
        return to_roman(value) == text.strip().upper()
    except ValueError:
        return False
