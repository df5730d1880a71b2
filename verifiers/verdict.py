"""What a verifier says: a score, pass or fail or unknown, and the evidence for it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["pass", "fail", "unknown"]


class CheckResult(BaseModel):
    """One check inside a verdict, for instance one test case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    outcome: Literal["pass", "fail", "error", "skip"]
    message: str = ""  #: shortened; untrusted text
    seconds: float | None = None


class Verdict(BaseModel):
    """The result of verifying one submission.

    `unknown` means the verifier could not tell (it broke, timed out, had nothing to look at). It is never
    a pass; whether it is the machinery's fault is in `infra`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verifier: str
    outcome: Outcome
    score: float | None = Field(default=None, ge=0.0, le=1.0)  #: None when unknown, never 0 for "not there"
    infra: bool = False  #: the outcome is unknown because the machinery failed, not the work
    reason: str = ""  #: one sentence for a reader
    checks: tuple[CheckResult, ...] = ()
    command: str = ""  #: what was run
    exit_code: int | None = None
    ended: str = ""  #: how the command ended (`kernel_pool.Ended`)
    seconds: float = 0.0
    log: str = ""  #: shortened output; untrusted text
    log_digest: str = ""  #: sha256 of the full output
    parts: tuple[Verdict, ...] = ()  #: the verdicts a pipeline combined
    state: str = ""  #: digest of the snapshot that was verified

    @property
    def passed(self) -> bool:
        """Only an explicit pass is one."""
        return self.outcome == "pass"
