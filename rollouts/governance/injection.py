"""Text that reads as if it gave orders to a model. Marked, never judged: a reader decides."""

from __future__ import annotations

import re

#: kind -> (pieces of which one occurs, in small letters, in whatever matches; the pattern)
_RULES: dict[str, tuple[tuple[str, ...], str]] = {
    "ignore_instructions": (
        ("ignore", "disregard", "forget", "override"),
        r"\b(?:ignore|disregard|forget|override)\b[^.\n]{0,40}"
        r"\b(?:previous|prior|above|earlier|preceding|system|all)\b[^.\n]{0,30}"
        r"\b(?:instructions?|prompts?|rules|messages?|directions?)\b",
    ),
    "ignore_instructions_zh": (
        ("忽略", "无视", "忘记"),
        r"(?:忽略|无视|忘记)[^。\n]{0,12}(?:之前|以上|上述|先前|所有)[^。\n]{0,12}(?:指令|指示|提示|规则)",
    ),
    "new_role": (
        ("you are n",),
        r"\byou are (?:now|no longer)\b[^.\n]{0,60}\b(?:assistant|ai|model|agent|mode|chatbot|bound)\b",
    ),
    "reveal_prompt": (
        ("system prompt", "system mess", "system inst", "hidden ", "developer "),
        r"\b(?:reveal|print|show|repeat|leak)\b[^.\n]{0,30}"
        r"\b(?:system|hidden|developer) (?:prompt|message|instructions?)\b",
    ),
    "chat_markup": (
        ("<|", "inst]", "sys>>"),
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?INST\]|<</?SYS>>",
    ),
    "forged_turn": (
        ("system", "developer"),
        r"(?:^|\n)\s{0,3}(?:#{1,3}\s*)?(?:system|developer)\s{0,2}(?:message|prompt|instruction)s?\s{0,2}:",
    ),
    "secrecy": (
        ("do not ",),
        r"\bdo not (?:tell|inform|mention (?:this|it) to|alert)\b[^.\n]{0,20}\b(?:user|human|operator|developer)s?\b",
    ),
}
_PATTERNS = {kind: (hints, re.compile(pattern, re.IGNORECASE)) for kind, (hints, pattern) in _RULES.items()}

_HINTS = tuple({hint.encode() for hints, _ in _PATTERNS.values() for hint in hints})


def may_give_orders(small: bytes) -> bool:
    """Whether a text, in small letters, can hold anything that `instruction_like` finds; quick."""
    return any(hint in small for hint in _HINTS)


def instruction_like(text: str) -> tuple[str, ...]:
    """The kinds of instruction-like passages in a text, each once."""
    small = text.lower()
    return tuple(
        kind
        for kind, (hints, pattern) in _PATTERNS.items()
        if any(hint in small for hint in hints) and pattern.search(text)
    )
