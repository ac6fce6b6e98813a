"""What pairs without labels are made of: documents as they are cut, and offers before they are chosen."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key, text_key

FEWEST_BODY_WORDS = 4
MOST_ANCHOR_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document with the texts of its passages, without its title, in their order."""

    document_id: str
    title: str
    text: str
    passages: Sequence[str]


@dataclass(frozen=True, slots=True)
class Offer:
    """A pair that a document offers; `source` is its lineage."""

    anchor: str
    positive: str
    document_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Pairs, and how many offers each rule left out."""

    pairs: Sequence[TrainingPair]
    dropped: Mapping[str, int]


def choose(
    offers: Iterable[Offer],
    split_of: Mapping[str, Split],
    taken: Collection[tuple[str, str]] = (),
    most: int | None = None,
) -> Chosen:
    """Makes pairs of what was offered, the first of equals first.

    Left out are offers without enough words on either side (`too_short`), anchors that ask for several
    documents (`ambiguous`), pairs that are there already (`repeated`) and those beyond `most` (`over_limit`).

    Args:
        offers: In the order in which they are wanted.
        split_of: Document id -> its split; train where it is not named.
        taken: (anchor key, document id) of pairs that there are already.
        most: Most pairs of train; those of dev come beside them.
    """
    offered = list(offers)
    usable = [one for one in offered if _is_usable(one)]
    owners: dict[str, set[str]] = {}
    for one in usable:
        owners.setdefault(query_key(one.anchor), set()).add(one.document_id)
    dropped = Counter({"too_short": len(offered) - len(usable)})
    seen = set(taken)
    pairs: list[TrainingPair] = []
    trained = 0
    for one in usable:
        key, split = query_key(one.anchor), split_of.get(one.document_id, Split.TRAIN)
        if len(owners[key]) > 1:
            dropped["ambiguous"] += 1
        elif (key, one.document_id) in seen:
            dropped["repeated"] += 1
        elif split is Split.TRAIN and most is not None and trained >= most:
            dropped["over_limit"] += 1
        else:
            seen.add((key, one.document_id))
            trained += split is Split.TRAIN
            pairs.append(_pair(one, key, split))
    return Chosen(pairs, {rule: count for rule, count in sorted(dropped.items()) if count})


def _pair(offer: Offer, key: str, split: Split) -> TrainingPair:
    return TrainingPair(
        anchor=offer.anchor,
        positive=offer.positive,
        negatives=(),
        anchor_key=key,
        document_id=offer.document_id,
        split=split,
        lineage=(offer.source,),
    )


def _is_usable(offer: Offer) -> bool:
    lettered = sum(unicodedata.category(char)[0] in "LN" for char in offer.anchor) >= 2
    body = len(offer.positive.split()) >= FEWEST_BODY_WORDS or _is_unspaced(offer.positive)
    fits = len(offer.anchor) <= MOST_ANCHOR_CHARACTERS
    return lettered and body and fits and text_key(offer.anchor) != text_key(offer.positive)


def _is_unspaced(text: str) -> bool:
    """Whether a text is long enough in a script that does not part words by blanks."""
    return sum(unicodedata.category(char) == "Lo" for char in text) >= 4 * FEWEST_BODY_WORDS
