"""Secrets in text: found by a few exact rules, replaced by a placeholder that is the same everywhere."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import blake2b
from typing import Any

#: kind -> pattern. Group "secret", where there is one, is what gets replaced; else the whole match is.
RULES: dict[str, re.Pattern[str]] = {
    # A key cut off by shortening has no END line: everything after its BEGIN goes.
    "private_key": re.compile(
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.*?-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----|.*\Z)",
        re.DOTALL,
    ),
    "aws_access_key": re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])"),
    "aws_secret_key": re.compile(
        r"(?i:aws_secret_access_key|aws_secret_key)[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
        r"(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
    ),
    "github_token": re.compile(
        r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"
    ),
    # A digit is asked for: names such as sk-estimator-documentation-link are no keys.
    "api_key": re.compile(r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{20,}"),
    "slack_token": re.compile(r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    "jwt": re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "bearer_token": re.compile(
        r"(?i:\bbearer\s{1,4})(?P<secret>(?=[A-Za-z._~+/-]{0,200}[0-9])[A-Za-z0-9._~+/-]{20,}={0,2})"
    ),
}

#: A record in whose JSON none of these occurs holds nothing that a rule could match. Looked for as they
#: stand, and in small letters.
_HINTS = (
    *b"AKIA ASIA ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ sk- xox eyJ".split(),
    b"PRIVATE KEY",
)
_SMALL_HINTS = (b"aws_secret", b"bearer")


def suspicious(data: bytes, small: bytes) -> bool:
    """Whether any rule could match; `small` is `data` in small letters."""
    return any(hint in data for hint in _HINTS) or any(hint in small for hint in _SMALL_HINTS)


class Redactor:
    """Replaces secrets. The same secret becomes the same placeholder, with any redactor of the same salt."""

    def __init__(self, salt: str = "") -> None:
        self._key = salt.encode()[:64]

    def text(self, text: str, counts: Counter[str]) -> str:
        """The text without secrets; adds to `counts` how many of each kind went."""
        for kind, rule in RULES.items():
            text = rule.sub(lambda match, kind=kind: self._replace(match, kind, counts), text)  # type: ignore[misc]
        return text

    def value(self, value: Any, counts: Counter[str]) -> Any:
        """The same for plain data of any depth, keys included."""
        if isinstance(value, str):
            return self.text(value, counts)
        if isinstance(value, dict):
            return {self.value(k, counts): self.value(v, counts) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(v, counts) for v in value]
        return value

    def _replace(self, match: re.Match[str], kind: str, counts: Counter[str]) -> str:
        whole = match.group()
        secret = match.groupdict().get("secret") or whole
        counts[kind] += 1
        digest = blake2b(secret.encode("utf-8", "replace"), key=self._key, digest_size=4).hexdigest()
        return whole.replace(secret, f"[REDACTED:{kind}:{digest}]")
