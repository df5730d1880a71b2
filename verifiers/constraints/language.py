"""Which language a text is in, by `langdetect`, the library IFEval's own checks use.

langdetect draws at random while it decides; here every text starts from the same seed, so that the same text
always has the same language.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

_SEED = 0
_FACTORY_LOCK = threading.Lock()


@lru_cache(maxsize=256)
def language_of(text: str) -> str | None:
    """The code langdetect knows the language by, "en" or "zh-cn" for instance; None when it cannot tell
    (no letters). Looks at the first 10,000 characters."""
    from langdetect.lang_detect_exception import LangDetectException  # type: ignore[import-untyped]

    detector = _factory().create()
    try:
        detector.append(text)
        return str(detector.detect())
    except LangDetectException:
        return None


def languages() -> tuple[str, ...]:
    """All codes it can give, sorted."""
    return tuple(sorted(_factory().get_lang_list()))


def _factory() -> Any:
    """A factory of our own with our seed: the library's global one belongs to whoever else uses it."""
    with _FACTORY_LOCK:
        return _load()


@lru_cache(maxsize=1)
def _load() -> Any:
    from langdetect.detector_factory import (  # type: ignore[import-untyped]
        PROFILES_DIRECTORY,
        DetectorFactory,
    )

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(_SEED)
    return factory
