"""Which documents give pairs to train, which to validate, and which train nothing."""

from __future__ import annotations

import hashlib
import json

from embedloop.policy import Splits
from embedloop.records.labels import Split


def document_split(corpus: str, document_id: str, splits: Splits) -> Split:
    """The split of a document that no query asks for yet: by its name alone, so for ever the same.

    >>> [document_split("c", f"d{n}", Splits(golden=0.2, dev=0)) for n in range(1000)].count(Split.GOLDEN)
    186
    """
    named = json.dumps([corpus, document_id]).encode("utf-8", "surrogatepass")
    position = int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") / 2**64
    if position < splits.golden:
        return Split.GOLDEN
    return Split.DEV if position < splits.golden + splits.dev else Split.TRAIN
