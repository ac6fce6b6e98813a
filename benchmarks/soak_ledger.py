"""What was acknowledged, and when, so that every answer can be judged. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

# Metadata field of a document that the soak wrote: which of its writes this content came with.
REVISION = "revision"


@dataclass(frozen=True, slots=True)
class Written:
    """A document's last acknowledged write; `revision` 0 when it was deleted."""

    revision: int
    at: float

    @property
    def deleted(self) -> bool:
        return self.revision == 0


@dataclass
class Ledger:
    """The documents that the soak wrote: their last acknowledged write, and those of unknown outcome."""

    last: dict[str, Written] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)

    def acknowledge(self, document_id: str, revision: int, at: float) -> None:
        """A write was answered: content of this revision, or 0 for a delete."""
        self.last[document_id] = Written(revision, at)

    def doubt(self, document_id: str) -> None:
        """A write failed, so that either content may be there: nothing is claimed of this document again."""
        self.uncertain.add(document_id)

    def live(self) -> dict[str, int]:
        """Documents that must be there -> their revision."""
        return {
            name: one.revision
            for name, one in self.last.items()
            if not one.deleted and name not in self.uncertain
        }

    def deleted(self) -> list[str]:
        """Documents that must not be there."""
        return [name for name, one in self.last.items() if one.deleted and name not in self.uncertain]

    def wrong(self, hits: Iterable[tuple[str, Mapping[str, object]]], sent_at: float) -> list[tuple[str, str]]:
        """What an answer should not show: (`deleted` or `outdated`, document id).

        Args:
            hits: Document id and metadata of each hit.
            sent_at: Only writes acknowledged before it count.
        """
        found = []
        for document_id, metadata in hits:
            one = self.last.get(document_id)
            if one is None or document_id in self.uncertain or one.at >= sent_at:
                continue
            if one.deleted:
                found.append(("deleted", document_id))
            elif int(str(metadata.get(REVISION, 0))) < one.revision:
                found.append(("outdated", document_id))
        return found
