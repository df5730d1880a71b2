"""inspect logs: the JSON form, and `.eval`, a zip with one member for each sample and epoch.

Members of a `.eval` are deflated or, in today's logs, compressed with Zstandard, which Python reads from 3.14 on;
before, pyarrow does. Each is unpacked into a bound, whatever the zip says of its size; nothing is written.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ..errors import ConfigError
from .claim_items import BadField, Item, Reading, bounded, cut_off, outcome, text_fields, token_limit
from .strict_json import parse, reason

MOST_MEMBER_BYTES = 256 << 20
MOST_MEMBERS = 500_000
_PART_BYTES = 1 << 20
MOST_UNPACKED_BYTES = 16 << 30
_ZSTANDARD = 93  # method number in the zip's directory
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CUT_LIMITS = ("context", "time", "working", "message", "token", "cost", "turn")


def read_inspect_json(
    path: Path, log: Mapping[str, Any], reading: Reading
) -> tuple[str, str, list[Item], frozenset[str]]:
    """("inspect", scorer, items, all scorers) of a log in JSON form."""
    samples = log.get("samples")
    if not isinstance(samples, list):
        raise ConfigError(
            f"{path}: an inspect log without samples (a header, or logged with log_samples off)"
        )
    scores = _Scorer(path, reading)
    limit = _limit(log) or reading.max_tokens
    items = bounded(
        path, (_item(sample, scores, limit, f"{path}: sample {n}") for n, sample in enumerate(samples, 1))
    )
    return "inspect", scores.label(), items, scores.names


def read_eval_zip(path: Path, reading: Reading) -> tuple[str, str, list[Item], frozenset[str]]:
    """("inspect", scorer, items, all scorers) of a `.eval` file; samples are read one at a time."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise ConfigError(f"{path}: more than {MOST_MEMBERS} files in it")
            wanted = [
                m for m in members if m.filename.startswith("samples/") and m.filename.endswith(".json")
            ]
            if not wanted:
                raise ConfigError(f"{path}: a zip without samples/; an inspect log (.eval) was expected")
            headers = [m for m in members if m.filename in ("header.json", "_journal/start.json")]
            header, size = _member(path, archive, headers[-1]) if headers else ({}, 0)
            scores = _Scorer(path, reading)
            limit = _limit(header) or reading.max_tokens

            def items() -> Iterator[Item]:
                total = size
                for member in wanted:
                    sample, unpacked = _member(path, archive, member)
                    total += unpacked
                    if total > MOST_UNPACKED_BYTES:
                        raise ConfigError(f"{path}: more than {MOST_UNPACKED_BYTES >> 30} GiB when unpacked")
                    yield _item(sample, scores, limit, f"{path}: {member.filename[:80]}")

            kept = bounded(path, items())
            return "inspect", scores.label(), kept, scores.names
    except (zipfile.BadZipFile, EOFError) as error:
        raise ConfigError(f"{path}: a zip that cannot be read ({error}); is the log complete?") from None


def _item(sample: Any, scores: _Scorer, limit: int | None, where: str) -> Item:
    if (
        not isinstance(sample, dict)
        or isinstance(sample.get("id"), bool)
        or not isinstance(sample.get("id"), str | int)
    ):
        raise ConfigError(f"{where}: not a sample with an id")
    found = sample.get("output")
    output = found if isinstance(found, dict) else {}
    try:
        truncated, cut_by = _cut_off(sample, output, limit)
        epoch = sample.get("epoch")
        broken = bool(sample.get("error")) or _operator(sample)
        value, answer = (None, None) if broken else scores.of(sample)
        target = sample.get("target")
        fields = text_fields(
            {
                "text": output.get("completion"),
                "predicted": answer,
                "expected": target[0] if isinstance(target, list) and len(target) == 1 else target,
            }
        )
        return Item(
            id=str(sample["id"]),
            correct=None if broken else outcome(value, scores.threshold),
            truncated=truncated,
            cut_by=cut_by,
            limit=limit,
            epoch=epoch if isinstance(epoch, int) else None,
            where=where,
            **fields,
        )
    except BadField as error:
        raise ConfigError(f"{where}: {error}") from None


class _Scorer:
    """Which scorer counts; chosen once for a log, an error where several would do."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        self._asked = reading.metric
        self.threshold = reading.threshold
        self.names: frozenset[str] = frozenset()

    def of(self, sample: Mapping[str, Any]) -> tuple[Any, Any]:
        """(value, extracted answer) of the chosen score."""
        scores = sample.get("scores")
        if not isinstance(scores, dict) or not scores:
            raise BadField("no scores and no error: was the log scored?")
        if self._asked is None and len(scores) > 1:
            raise BadField(f"several scorers ({', '.join(sorted(scores))}): choose with --metric")
        name = self._asked or next(iter(scores))
        if name not in scores:
            raise BadField(f"no scorer {name!r}; it has {', '.join(sorted(scores))}")
        self._asked = name
        self.names = frozenset(scores)
        score = scores[name]
        if not isinstance(score, dict) or "value" not in score:
            raise BadField(f"scorer {name!r} has no value")
        return score["value"], score.get("answer")

    def label(self) -> str:
        """The scorer that counted, for the report."""
        return self._asked or ""


def _cut_off(
    sample: Mapping[str, Any], output: Mapping[str, Any], limit: int | None
) -> tuple[bool | None, str]:
    """By a limit of the sample (its time, tokens, messages ...), or by why its last output ended."""
    ended = sample.get("limit")
    if isinstance(ended, dict) and ended.get("type") in _CUT_LIMITS:
        return True, f"{ended['type']} limit"
    choices = output.get("choices")
    last = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    usage = output.get("usage")
    tokens = usage.get("output_tokens") if isinstance(usage, dict) else None
    return cut_off({"stop_reason": last.get("stop_reason"), "tokens": tokens}, limit)


def _operator(sample: Mapping[str, Any]) -> bool:
    """Stopped by a person: no outcome of the model's."""
    ended = sample.get("limit")
    return isinstance(ended, dict) and ended.get("type") == "operator"


def _limit(log: Mapping[str, Any]) -> int | None:
    plan = log.get("plan")
    config = plan.get("config") if isinstance(plan, dict) else None
    evaluated = log.get("eval")
    model = evaluated.get("model_generate_config") if isinstance(evaluated, dict) else None
    return next((n for part in (config, model) if isinstance(part, dict) and (n := token_limit(part))), None)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[dict[str, Any], int]:
    """(the object in a member, its unpacked size). Never unpacks more than the bound."""
    where = f"{path}: {member.filename[:80]}"
    content = bytearray()
    try:
        with _unpacked(path, archive, member) as stream:
            while len(content) <= MOST_MEMBER_BYTES and (part := stream.read(_PART_BYTES)):
                content += part
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise ConfigError(f"{where}: cannot be unpacked ({error})") from None
    if len(content) > MOST_MEMBER_BYTES:
        raise ConfigError(f"{where}: more than {MOST_MEMBER_BYTES >> 20} MiB when unpacked")
    try:
        found = parse(bytes(content))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON that can be read ({reason(error)})") from None
    return (found if isinstance(found, dict) else {}), len(content)


def _unpacked(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return archive.open(member)
    if member.compress_type != _ZSTANDARD:
        raise OSError(f"compression method {member.compress_type}")
    import pyarrow as pa

    if member.compress_size > MOST_MEMBER_BYTES:
        raise OSError(f"{member.compress_size} bytes when packed")
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(header[-2] + header[-1], io.SEEK_CUR)  # the name and the extra field
        packed = file.read(member.compress_size)
    stream: IO[bytes] = pa.CompressedInputStream(pa.BufferReader(packed), "zstd")
    return stream
