"""Filling of plain text."""


def split_word(word, first_room, room):
    """Cut a word that is longer than a line: the first piece has its own room."""
    pieces = []
    while len(word) > first_room:
        pieces.append(word[:first_room])
        word = word[first_room:]
        first_room = room
    pieces.append(word)
    return pieces


def fill_paragraph(words, width, indent):
    """Lines of one paragraph; the indent stands before every line but the first."""
    room = width - len(indent)
    if room < 1:
        raise ValueError("the indent leaves no room for text")
    lines = []
    line = ""

    def limit():
        return width if not lines else room

    for word in words:
        if line:
            if len(line) + 1 + len(word) < limit():
                line = line + " " + word
                continue
            lines.append(line)
            line = ""
        pieces = split_word(word, limit(), room)
        lines.extend(pieces[:-1])
        line = pieces[-1]
    if line:
        lines.append(line)
    return lines[:1] + [indent + text for text in lines[1:]]


def paragraphs(text):
    """Lists of words, one per paragraph."""
    current = []
    found = []
    for raw in text.splitlines():
        if raw.strip():
            current.extend(raw.split())
        elif current:
            found.append(current)
            current = []
    if current:
        found.append(current)
    return found


def wrap(text, width, indent=""):
    """The text as lines of at most `width` characters."""
    if width < 1:
        raise ValueError("width has to be at least 1")
    lines = []
    for words in paragraphs(text):
        if lines:
            lines.append("")
        lines.extend(fill_paragraph(words, width, indent))
    return lines


def widest(lines):
    return max((len(line) for line in lines), default=0)
