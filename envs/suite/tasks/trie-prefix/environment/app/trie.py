"""A set of words that can be searched by prefix."""


class Node:
    __slots__ = ("children", "ends_word")

    def __init__(self, ends_word=False):
        self.children = {}
        self.ends_word = ends_word


class Trie:
    def __init__(self, words=()):
        self._root = Node()
        self._size = 0
        for word in words:
            self.add(word)

    def __len__(self):
        return self._size

    def add(self, word):
        if not word:
            raise ValueError("an empty word cannot be stored")
        node = self._root
        for letter in word:
            if letter not in node.children:
                node.children[letter] = Node(ends_word=True)
            node = node.children[letter]
        if word not in self._words_seen():
            self._size += 1
        node.ends_word = True

    def _words_seen(self):
        return set(self._walk(self._root, ""))

    def _find(self, prefix):
        node = self._root
        for letter in prefix:
            node = node.children.get(letter)
            if node is None:
                return None
        return node

    def __contains__(self, word):
        node = self._find(word)
        return node is not None and node.ends_word

    def _walk(self, node, prefix):
        if node.ends_word:
            yield prefix
        for letter in sorted(node.children):
            yield from self._walk(node.children[letter], prefix + letter)

    def with_prefix(self, prefix, limit=None):
        """Stored words that begin with `prefix`, in alphabetical order, at most `limit` of them."""
        node = self._find(prefix)
        if node is None:
            return []
        words = list(self._walk(node, prefix))
        return words if limit is None else words[:limit]

    def longest_prefix_of(self, text):
        """The longest stored word that `text` begins with, or ""."""
        best = ""
        node = self._root
        for position, letter in enumerate(text, start=1):
            node = node.children.get(letter)
            if node is None:
                break
            if node.ends_word:
                best = text[:position]
        return best
