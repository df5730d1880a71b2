"""A small calculator: numbers, + - * / ^, unary minus, parentheses."""

import re

TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|(.))")

#: operator: (level, right-associative)
OPERATORS = {
    "+": (1, False),
    "-": (1, False),
    "*": (2, False),
    "/": (2, False),
    "^": (4, True),
}
UNARY_LEVEL = 3


class CalcError(ValueError):
    """The expression is wrong; `position` is where."""

    def __init__(self, message, position):
        super().__init__(f"{message} at {position}")
        self.position = position


def tokenize(text):
    """(kind, value, position) triples, closed by an "end" token."""
    tokens = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        number, symbol = match.groups()
        start = match.start(1) if number else match.start(2)
        if number:
            tokens.append(("number", float(number), start))
        elif symbol in OPERATORS or symbol in "()":
            tokens.append((symbol, symbol, start))
        else:
            raise CalcError(f"unexpected {symbol!r}", start)
        position = match.end()
    tokens.append(("end", None, len(text)))
    return tokens


def apply(operator, left, right, position):
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        if right == 0:
            raise CalcError("division by zero", position)
        return left / right
    return left**right


class Parser:
    def __init__(self, text):
        self.tokens = tokenize(text)
        self.at = 0

    def take(self):
        token = self.tokens[self.at]
        self.at += 1
        return token

    def primary(self):
        kind, value, position = self.take()
        if kind == "number":
            return value
        if kind == "-":
            return -self.expression(UNARY_LEVEL)
        if kind == "(":
            value = self.expression(1)
            kind, _, position = self.take()
            if kind != ")":
                raise CalcError("expected )", position)
            return value
        raise CalcError("expected a number", position)

    def expression(self, lowest):
        """Operators of at least level `lowest`."""
        left = self.primary()
        while True:
            kind, _, position = self.tokens[self.at]
            level, from_right = OPERATORS.get(kind, (0, False))
            if level < lowest or level == 0:
                return left
            self.take()
            right = self.expression(level if from_right else level)
            left = apply(kind, left, right, position)


def evaluate(text):
    """The value of an expression."""
    parser = Parser(text)
    value = parser.expression(1)
    kind, _, position = parser.take()
    if kind != "end":
        raise CalcError(f"unexpected {kind!r}", position)
    return value
