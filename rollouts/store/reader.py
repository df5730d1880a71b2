"""Records from their lines; those of forked branches together with the prefix that stands in their parent's."""

from __future__ import annotations

from pydantic import ValidationError

from ..records import BranchRecord
from .index import BranchIndex, Entry, first_reason
from .jsonl import Problems
from .prefix import joined

#: Parents kept in memory, so that siblings do not each read theirs again.
PARENTS = 8


class RecordReader:
    """Reads records of a run. What cannot be read is noted in `problems`."""

    def __init__(self, index: BranchIndex, problems: Problems) -> None:
        self._index, self._problems = index, problems
        self._parents: dict[tuple[str, str], BranchRecord] = {}

    def load(self, entry: Entry) -> BranchRecord | None:
        """The whole record; None when its line is not one, or one that its prefix stands in is not.

        Of a key that was written again because its first line could not be read, the first that can.
        """
        at: Entry | None = entry
        while at is not None:
            record = self._whole(at)
            if record is not None:
                return record
            at = self._index.drop(at)
        return None

    def _whole(self, entry: Entry) -> BranchRecord | None:
        above: BranchRecord | None = None
        for at in reversed(self._line(entry)[1:]):
            above = self._parents.pop(at.key, None) or self._read(at, above)
            if above is None:
                reason = f"shares steps with {at.branch_id}, which cannot be read"
                self._problems.note(entry.path, entry.line, reason)
                return None
            self._remember(above)
        return self._read(entry, above)

    def parent_of(self, record: BranchRecord) -> BranchRecord | None:
        """The branch it was forked from, when the run has it."""
        if record.lineage.parent is None:
            return None
        key = (record.lineage.rollout_id, record.lineage.parent)
        entry = self._index.get(key)
        parent = None if entry is None else self._parents.get(key) or self.load(entry)
        if parent is not None:
            self._remember(parent)
        return parent

    def _line(self, entry: Entry) -> list[Entry]:
        """The entry and those above it that hold its prefix, up to one that is whole, or at hand."""
        line, seen = [entry], {entry.key}
        while line[-1].shared and (line[-1] is entry or line[-1].key not in self._parents):
            above = self._index.get((entry.rollout_id, line[-1].parent or ""))
            if above is None or above.key in seen:
                break
            line.append(above)
            seen.add(above.key)
        return line

    def _read(self, entry: Entry, parent: BranchRecord | None) -> BranchRecord | None:
        line = self._index.read(entry)
        try:
            if not entry.shared:
                return BranchRecord.model_validate_json(line)
            if parent is None:
                raise ValueError(f"shares steps with {entry.parent}, which is not there")
            return joined(line, parent)
        except ValidationError as error:
            self._problems.note(entry.path, entry.line, first_reason(error))
        except ValueError as error:
            self._problems.note(entry.path, entry.line, str(error))
        return None

    def _remember(self, record: BranchRecord) -> None:
        self._parents[record.key] = record
        while len(self._parents) > PARENTS:
            del self._parents[next(iter(self._parents))]
