"""Pictures that verdicts rest on: `evidence/<sha256>.png` in the run directory, each stored once."""

from __future__ import annotations

import re
import uuid
from hashlib import sha256
from pathlib import Path

from verifiers import Evidence, Verdict

from ..errors import StorageRefused

MAX_BYTES = 4 * 1024 * 1024  #: of one file; a verifier has bounded its own before

_SUFFIX = {"image/png": ".png"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class EvidenceStore:
    """The `evidence/` directory of a run. Safe for many writers: equal bytes are equal files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def keep(self, verdict: Verdict) -> Verdict:
        """Write the bytes that a verdict and its parts carry; the same verdict without them.

        What is no picture, is larger than 4 MB or does not fit its digest is left out. Raises `RunDirError`
        when the disk refuses.
        """
        for evidence in verdict.evidence:
            self._write(evidence)
        return verdict.model_copy(
            update={
                "evidence": tuple(each.model_copy(update={"data": None}) for each in verdict.evidence),
                "parts": tuple(self.keep(part) for part in verdict.parts),
            }
        )

    def read(self, evidence: Evidence) -> bytes | None:
        """The bytes; None when they are not there or not what the record says."""
        path = self.path(evidence)
        try:
            if path is None or path.stat().st_size > MAX_BYTES:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        return data if sha256(data).hexdigest() == evidence.digest and data.startswith(_SIGNATURE) else None

    def path(self, evidence: Evidence) -> Path | None:
        """Where it lies; None for a kind that is not stored, or what is no digest."""
        suffix = _SUFFIX.get(evidence.media_type)
        if suffix is None or not _DIGEST.fullmatch(evidence.digest):
            return None
        return self.directory / f"{evidence.digest}{suffix}"

    def _write(self, evidence: Evidence) -> None:
        path, data = self.path(evidence), evidence.data
        if path is None or data is None or len(data) > MAX_BYTES or not data.startswith(_SIGNATURE):
            return
        if sha256(data).hexdigest() != evidence.digest or path.exists():
            return
        part = self.directory / f".{path.name}.{uuid.uuid4().hex}.part"  # siblings may write the same picture
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(path)
        except OSError as error:
            raise StorageRefused(f"{path}: cannot be written ({error.strerror or error})") from None
        finally:
            part.unlink(missing_ok=True)
