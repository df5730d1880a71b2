"""What a verifier says: a score, pass or fail or unknown, and the evidence for it."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["pass", "fail", "unknown"]


class Evidence(BaseModel):
    """A file that shows why: a screenshot, a difference picture. Untrusted bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  #: what it shows, for instance "page.png"
    media_type: str  #: for instance "image/png"
    digest: str  #: sha256 of the bytes
    size: int  #: bytes
    #: the bytes themselves, until they are stored by digest; never part of a record
    data: bytes | None = Field(default=None, exclude=True, repr=False)

    @classmethod
    def of(cls, name: str, media_type: str, data: bytes) -> Evidence:
        """Evidence that carries its bytes."""
        return cls(
            name=name, media_type=media_type, digest=sha256(data).hexdigest(), size=len(data), data=data
        )


class CheckResult(BaseModel):
    """One check inside a verdict, for instance one test case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    outcome: Literal["pass", "fail", "error", "skip"]
    message: str = ""  #: shortened; untrusted text
    seconds: float | None = None
    spans: tuple[tuple[int, int], ...] = ()  #: [start, end) in characters of the text that was checked


class Verdict(BaseModel):
    """The result of verifying one submission.

    `unknown` means the verifier could not tell (it broke, timed out, had nothing to look at). It is never
    a pass; whether it is the machinery's fault is in `infra`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verifier: str
    outcome: Outcome
    score: float | None = Field(
        default=None, ge=0.0, le=1.0, allow_inf_nan=False
    )  #: None when unknown, never 0 for "not there"
    infra: bool = False  #: the outcome is unknown because the machinery failed, not the work
    reason: str = ""  #: one sentence for a reader
    cause: str = (
        ""  #: one word for why it could not be told, or why it failed at once: "timeout", "no_browser"
    )
    checks: tuple[CheckResult, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    command: str = ""  #: what was run
    exit_code: int | None = None
    ended: str = ""  #: how the command ended (`kernel_pool.Ended`)
    seconds: float = 0.0
    log: str = ""  #: shortened output; untrusted text
    log_digest: str = ""  #: sha256 of the full output
    parts: tuple[Verdict, ...] = ()  #: the verdicts a pipeline combined, or the single runs of a repeated one
    runs: int = 1  #: how often it was verified
    passes: int | None = None  #: runs that passed, of a repeated one
    state: str = ""  #: digest of the snapshot that was verified

    @property
    def flaky(self) -> bool:
        """Whether runs of the same work disagreed."""
        return self.passes is not None and 0 < self.passes < self.runs

    @property
    def passed(self) -> bool:
        """Only an explicit pass is one."""
        return self.outcome == "pass"
