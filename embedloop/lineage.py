"""Where a training pair comes from: names of sources, and of the pair itself. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from embedloop.records.training import TrainingPair

_FEEDBACK = "f-"


class SourceKind(StrEnum):
    """What a pair is made of: where it is from, and the data in it (person, document, negative)."""

    FEEDBACK = "feedback"
    IMPORT = "import"
    TRANSFER = "transfer"
    STRUCTURE = "structure"
    GLOSSARY = "glossary"
    GENERATED = "generated"
    AUGMENTED = "augmented"
    PERSON = "person"
    DOCUMENT = "document"
    NEGATIVE = "negative"


DATA = (SourceKind.PERSON, SourceKind.DOCUMENT, SourceKind.NEGATIVE)
LABELS = tuple(kind for kind in SourceKind if kind not in DATA)


def import_source(name: str, line: int) -> str:
    """
    >>> import_source("beir", 17)
    'import:beir:17'
    """
    return f"{SourceKind.IMPORT}:{name}:{line}"


def kind_of(source: str) -> SourceKind:
    """The kind of a source by its name: ids of feedback begin with `f-`, others tell their kind.

    >>> kind_of("f-01"), kind_of("import:beir:17").value
    (<SourceKind.FEEDBACK: 'feedback'>, 'import')
    """
    if source.startswith(_FEEDBACK):
        return SourceKind.FEEDBACK
    return SourceKind(source.partition(":")[0])


def pair_id(anchor_key: str, document_id: str) -> str:
    """A pair's name, the same in every training set that has it."""
    named = json.dumps([anchor_key, document_id]).encode()
    return hashlib.blake2b(named, digest_size=16).hexdigest()


def sources_of(pair: TrainingPair, persons: Mapping[str, Sequence[str]]) -> Iterator[tuple[SourceKind, str]]:
    """Everything that a pair is made of, each once.

    Args:
        pair: With lineage and ids of its documents.
        persons: Id of feedback -> marks of who gave it.
    """
    yield SourceKind.DOCUMENT, pair.document_id
    yield from ((SourceKind.NEGATIVE, one) for one in dict.fromkeys(pair.negative_ids))
    yield from ((kind_of(one), one) for one in dict.fromkeys(pair.lineage))
    marks = (mark for one in pair.lineage for mark in persons.get(one, ()))
    yield from ((SourceKind.PERSON, mark) for mark in dict.fromkeys(marks))
