"""IFEval's reference checks, where lm-evaluation-harness can be imported; for a differential run.

    PYTHONPATH=/where/lm_eval/is .venv/bin/python tests/verifiers/ifeval_reference.py 200

compares 200 texts a type and prints how many verdicts differ. Sentences need NLTK's Punkt data as well; without
it those are left out. The test `test_ifeval_reference.py` does the same in small, and is skipped without it.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from verifiers.constraints import Artifact, ConstraintError, evaluate, read_constraints
from verifiers.constraints.language import language_of

RELATIONS = ("less than", "at least")
PIECES = (
    *(
        "the cat sat on the mat",
        "Ünïcode wörds",
        "HELLO WORLD",
        "My answer is yes.",
        "I think so",
        "P.S. bye",
    ),
    *(
        "p. p. s late",
        "* point one",
        "- point two",
        "** bold **",
        "*hi*",
        "**hi**",
        "***",
        "******",
        "[name]",
    ),
    *(
        "[a] [b]",
        "<<title>>",
        "<< >>",
        "<<<x>>",
        "Section 1",
        "SECTION 2",
        "Section3 ",
        '"',
        "```json",
        "```",
    ),
    *('{"a": 1}', "[1, 2]", ",", ".", "!", "?", "...", "\n", "\n\n", "\n\n\n", " ", "\t", "'tis", '"quoted"'),
    *(
        "Dr. Smith",
        "e.g.",
        "3.14",
        "don't",
        "well-known",
        "A I",
        "category",
        "Cat",
        "CAT",
        "cat.",
        "end of it",
    ),
    *(
        "Das ist ein deutscher Satz über Hunde",
        "ceci est une phrase",
        "это русский текст",
        "\u0130stanbul",
        "ß",
    ),
    *(
        "Write a poem",
        "write A poem",
        "Any other questions?",
        "any other questions? ",
        "ﬁ",
        "x_y",
        "१२३",
        "\r\n",
    ),
)
BY_LANGUAGE = ("language:response_language", "change_case:english_capital", "change_case:english_lowercase")
WORDS = ("cat", "the", "HELLO", "word", "on", "C", "end", "answer", "x_y", "is.y", "ß", "i")


def arguments(rng: random.Random) -> dict[str, dict[str, Any]]:
    """Sound arguments for every type."""
    relation, n = rng.choice(RELATIONS), rng.randint(1, 4)
    return {
        "keywords:existence": {"keywords": rng.sample(WORDS, rng.randint(1, 2))},
        "keywords:frequency": {"keyword": rng.choice(WORDS), "frequency": n, "relation": relation},
        "keywords:forbidden_words": {"forbidden_words": rng.sample(WORDS, rng.randint(1, 3))},
        "keywords:letter_frequency": {
            "letter": rng.choice("aeTtZi"),
            "let_frequency": rng.randint(0, 9),
            "let_relation": relation,
        },
        "language:response_language": {"language": rng.choice(("en", "de", "fr", "ru", "pa"))},
        "length_constraints:number_sentences": {"num_sentences": n, "relation": relation},
        "length_constraints:number_paragraphs": {"num_paragraphs": rng.randint(1, 3)},
        "length_constraints:number_words": {"num_words": rng.randint(1, 12), "relation": relation},
        "length_constraints:nth_paragraph_first_word": {
            "num_paragraphs": n,
            "nth_paragraph": rng.randint(1, n),
            "first_word": rng.choice(("the", "Cat", "hello", "tis", "my")),
        },
        "detectable_content:number_placeholders": {"num_placeholders": rng.randint(0, 3)},
        "detectable_content:postscript": {"postscript_marker": rng.choice(("P.S.", "P.P.S", "Late"))},
        "detectable_format:number_bullet_lists": {"num_bullets": rng.randint(0, 3)},
        "detectable_format:constrained_response": {},
        "detectable_format:number_highlighted_sections": {"num_highlights": rng.randint(0, 4)},
        "detectable_format:multiple_sections": {
            "section_spliter": rng.choice(("Section", "SECTION", "Section ")),
            "num_sections": rng.randint(0, 3),
        },
        "detectable_format:json_format": {},
        "detectable_format:title": {},
        "combination:two_responses": {},
        "combination:repeat_prompt": {"prompt_to_repeat": rng.choice(("Write a poem", " the CAT ", "I"))},
        "startend:end_checker": {"end_phrase": rng.choice(("Any other questions?", "end of it", "Cat"))},
        "change_case:capital_word_frequency": {
            "capital_frequency": rng.randint(0, 5),
            "capital_relation": relation,
        },
        "change_case:english_capital": {},
        "change_case:english_lowercase": {},
        "punctuation:no_comma": {},
        "startend:quotation": {},
    }


def texts(rng: random.Random) -> Iterator[str]:
    """Texts that are not blank, made to touch the edges of the rules."""
    while True:
        text = "".join(
            rng.choice(PIECES) + rng.choice(("", "", " ", "\n")) for _ in range(rng.randint(1, 12))
        )
        shape = rng.random()
        if shape < 0.1:
            text = f'"{text}"'
        elif shape < 0.2:
            text = text.upper()
        elif shape < 0.3:
            text = text.lower()
        if text.strip():
            yield text


def reference() -> Callable[[str, dict[str, Any], str], bool | None] | None:
    """The reference's verdict on (type, arguments, text); None where it cannot be had here."""
    try:
        import nltk

        _without_the_harness()
        has_punkt = _has_punkt(nltk)
        nltk.download = lambda *_, **__: False  # its module would reach for the network when imported
        registry = import_module("lm_eval.tasks.ifeval.instructions_registry").INSTRUCTION_DICT
        util = import_module("lm_eval.tasks.ifeval.instructions_util")
        language = import_module("langdetect").DetectorFactory
    except ImportError:
        return None
    language.seed = 0
    # As the reference was published; NLTK 3.10 put another engine below it, for which lone accents are words.
    util.count_words = lambda text: len(re.findall(r"\w+", text))
    if not has_punkt:
        from verifiers.constraints.sentences import word_tokens

        util.nltk.word_tokenize = word_tokens

    def verdict(kind: str, args: dict[str, Any], text: str) -> bool | None:
        if kind == "length_constraints:number_sentences" and not has_punkt:
            return None
        instruction = registry[kind](kind)
        instruction.build_description(**args)
        return bool(instruction.check_following(text))

    return verdict


def compare(per_type: int, seed: int = 0) -> tuple[Counter[str], list[tuple[str, dict[str, Any], str, bool]]]:
    """(comparisons by type, those that differ with the reference's verdict). Raises `LookupError` without a
    reference."""
    verdict = reference()
    if verdict is None:
        raise LookupError("lm_eval cannot be imported")
    rng, done, differ = random.Random(seed), Counter[str](), []
    source = texts(rng)
    for _ in range(per_type):
        for kind, args in arguments(rng).items():
            text = next(source)
            theirs = verdict(kind, args, text)
            if theirs is None or (kind in BY_LANGUAGE and language_of(text) is None):
                continue  # told in verifiers/constraints/ifeval: such a text passes there and not here
            try:
                constraints = read_constraints([{"id": "c", "method": kind, "args": args}])
            except ConstraintError:
                continue  # demands that nothing can meet, "less than 0" for instance
            ours = evaluate(constraints, {None: Artifact.of(text)}).passed
            done[kind] += 1
            if ours != theirs:
                differ.append((kind, args, text, theirs))
    return done, differ


def _without_the_harness() -> None:
    """Let the modules of the checks be imported without the rest of lm_eval, which wants torch and datasets."""
    found = find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise ImportError("lm_eval is not here")
    place = Path(found.submodule_search_locations[0])
    for name in ("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval"):
        package = ModuleType(name)
        package.__path__ = [str(place.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, package)


def _has_punkt(nltk: Any) -> bool:
    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
    except LookupError:
        return False
    return True


if __name__ == "__main__":
    done, differ = compare(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    print(f"{done.total()} comparisons of {len(done)} types, {len(differ)} differ")
    for kind, args, text, theirs in differ[:40]:
        print(f"  {kind} {args}: reference {theirs} on {text!r}")
