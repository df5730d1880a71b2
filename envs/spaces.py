"""A gymnasium space of text. The stock one knows only a fixed, small set of characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space, Tuple
from gymnasium.spaces.utils import is_space_dtype_shape_equiv
from gymnasium.vector.utils import batch_differing_spaces

#: Samples are short: a random text of full length tells no more, and there would be megabytes of it.
_SAMPLE_CHARACTERS = 64
_SURROGATES = range(0xD800, 0xE000)


class Unicode(Space[str]):
    """Every `str` of at most `max_length` characters (code points), the empty one, newlines and NUL included.

    Samples have up to 64 characters, of all of Unicode except the surrogates. In vector envs a batch is a tuple of texts; use
    `AsyncVectorEnv(..., shared_memory=False)`, since memory of a fixed size cannot hold texts.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        """`seed` makes the samples repeatable. Raises `ValueError` when `max_length` is below 1."""
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
            raise ValueError(f"max_length is {max_length!r}; it must be a number of characters, at least 1")
        self.max_length = max_length
        super().__init__(None, None, seed)

    @property
    def is_np_flattenable(self) -> bool:
        """A text is no array."""
        return False

    def sample(self, mask: Any | None = None, probability: Any | None = None) -> str:
        """A random text; there is nothing that a mask or probabilities could choose between."""
        if mask is not None or probability is not None:
            raise ValueError("a space of texts takes neither mask nor probability")
        length = int(self.np_random.integers(0, min(self.max_length, _SAMPLE_CHARACTERS) + 1))
        codes = self.np_random.integers(0, 0x110000 - len(_SURROGATES), size=length)
        return "".join(chr(code + (len(_SURROGATES) if code >= _SURROGATES.start else 0)) for code in codes)

    def contains(self, x: Any) -> bool:
        """Whether it is a `str` that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length

    def to_jsonable(self, sample_n: Iterable[str]) -> list[str]:
        """Texts as JSON has them."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[Any]) -> list[str]:
        """The texts again."""
        return [str(text) for text in sample_n]

    def __repr__(self) -> str:
        return f"Unicode({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unicode) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash((Unicode, self.max_length))


# The other functions of gymnasium's vector envs work on any space.
@batch_differing_spaces.register(Unicode)
def _batch_differing(spaces: Sequence[Unicode]) -> Tuple[Any]:  # type: ignore[misc]  # it goes by the first element
    return Tuple(tuple(spaces))


@is_space_dtype_shape_equiv.register(Unicode)
def _equivalent(first: Unicode, second: Any) -> bool:
    return isinstance(second, Unicode)
