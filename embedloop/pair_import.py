"""Imports of pairs and triplets whose texts are no documents of the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from embedloop import splits
from embedloop.catalog import labelled_pairs, removals
from embedloop.catalog.database import Database
from embedloop.catalog.splits import TEXT
from embedloop.errors import Conflict
from embedloop.feedback import contradiction
from embedloop.records.documents import Corpus
from embedloop.records.labels import LabelledText, Split
from embedloop.removed import Removed
from embedloop.text.normalise import query_key, text_key
from embedloop.text.redact import redact


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """One line of an import: what answers the anchor, what does not, and where the line came from.

    A line has a positive or negatives; negatives train beside the positives that other lines give the anchor.
    """

    anchor: str
    positive: str | None
    negatives: Sequence[str]
    split: Split | None
    source: str


def import_pairs(database: Database, corpus: Corpus, lines: Sequence[ImportedPair]) -> list[Conflict | None]:
    """Stores labelled texts without personal data.

    The gate is measured on documents, so these pairs make no golden queries: an anchor that is new trains, or
    is a dev query, and one that is golden already is refused.

    Returns:
        For each line None if it was stored, or why it was not: its anchor is golden or has another split than
        the line wants, or one of its texts was removed from training.
    """
    cleared = [_redacted(line) for line in lines]
    shares = corpus.policy.splits.model_copy(update={"golden": 0.0})
    with database.write() as connection:
        removed = removals.marks(connection, corpus.name)
        refused = [_removed(line, removed) for line in cleared]
        taken = [line for line, why in zip(cleared, refused, strict=True) if why is None]
        seen = [
            splits.SeenQuery(
                line.anchor, splits.Group(TEXT, text_key(line.positive or line.anchor)), line.split
            )
            for line in sorted(taken, key=lambda line: line.split is None)
        ]
        fixed = splits.fix(connection, corpus, seen, splits=shares)
        outcomes = [
            why or _contradiction(line, fixed[query_key(line.anchor)])
            for line, why in zip(cleared, refused, strict=True)
        ]
        stored = [line for line, why in zip(cleared, outcomes, strict=True) if why is None]
        labelled_pairs.store(connection, corpus.name, [one for line in stored for one in _labelled(line)])
    return outcomes


def _redacted(line: ImportedPair) -> ImportedPair:
    return replace(
        line,
        anchor=redact(line.anchor).text,
        positive=None if line.positive is None else redact(line.positive).text,
        negatives=tuple(redact(text).text for text in line.negatives),
    )


def _labelled(line: ImportedPair) -> Iterator[LabelledText]:
    for text in line.negatives:
        yield LabelledText(line.anchor, text, False, line.source)
    if line.positive is not None:
        yield LabelledText(line.anchor, line.positive, True, line.source)


def _removed(line: ImportedPair, removed: Removed) -> Conflict | None:
    for field, texts in (("positive", [line.positive or ""]), ("negatives", line.negatives)):
        if any(removed.has_text(text) for text in texts):
            return Conflict("this text was removed from training", field=field)
    return None


def _contradiction(line: ImportedPair, fixed: Split) -> Conflict | None:
    if fixed is Split.GOLDEN:
        return Conflict("this query is golden: the gate is measured on it, it never trains", field="anchor")
    return contradiction(line.split, fixed)
