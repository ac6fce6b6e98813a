"""Training pairs from judgments, and the frozen training set that they become."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from embedloop.errors import TrainingFailed
from embedloop.records.labels import Judgment, LabelledText, Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key, text_key

# Of a query, and of a document.
_Key = tuple[str, str]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """A training set on disk: canonical JSONL, the SHA-256 of its bytes, and how many of what it holds."""

    path: Path
    sha256: str
    counts: Mapping[str, int]


def build_pairs(
    judgments: Sequence[Judgment],
    texts: Mapping[str, str],
    negatives: Mapping[str, Sequence[str]],
    clusters: Mapping[str, str] | None = None,
) -> list[TrainingPair]:
    """Makes one pair of each relevant (query, document) that may be learnt from.

    Golden judgments, grade 0 and documents without a text are left out, and logged as counts. Judgments that
    share query key and document become one pair with the lineage of all, and with that of the grades 0 that
    made one of its negatives.

    Args:
        judgments: Labels with their split.
        texts: Document id -> text, exactly as passages of it are embedded.
        negatives: Query -> ids of hard negatives; only training pairs receive them.
        clusters: Document id -> key of its near duplicates; none of them becomes a negative of another.

    Returns:
        Pairs ordered by anchor key and document id.
    """
    by_key = {query_key(query): ids for query, ids in negatives.items()}
    left_out: Counter[str] = Counter()
    chosen: dict[_Key, list[Judgment]] = {}
    refused: dict[_Key, list[Judgment]] = {}
    for judgment in judgments:
        key = (query_key(judgment.query), judgment.document_id)
        if judgment.split is Split.GOLDEN:
            left_out["golden"] += 1
        elif judgment.grade < 1:
            left_out["not_relevant"] += 1
            refused.setdefault(key, []).append(judgment)
        elif judgment.document_id not in texts:
            left_out["no_text"] += 1
        else:
            chosen.setdefault(key, []).append(judgment)
    log.info("%d pairs; left out: %s", len(chosen), dict(left_out))
    return [
        _pair(key, document_id, group, refused, texts, by_key.get(key, ()), clusters or {})
        for (key, document_id), group in sorted(chosen.items())
    ]


def _pair(
    key: str,
    document_id: str,
    group: Sequence[Judgment],
    refused: Mapping[_Key, Sequence[Judgment]],
    texts: Mapping[str, str],
    negatives: Sequence[str],
    clusters: Mapping[str, str],
) -> TrainingPair:
    first, positive, cluster = group[0], texts[document_id], clusters.get(document_id, "")
    wrong: dict[str, str] = {}
    if first.split is Split.TRAIN:
        for one in negatives:
            apart = not cluster or clusters.get(one) != cluster
            if apart and one in texts and texts[one] != positive:
                wrong.setdefault(texts[one], one)
    said = [*group, *(judgment for one in wrong.values() for judgment in refused.get((key, one), ()))]
    return TrainingPair(
        anchor=first.query,
        positive=positive,
        negatives=tuple(wrong),
        anchor_key=key,
        document_id=document_id,
        split=first.split,
        lineage=tuple(dict.fromkeys(source for one in said for source in _sources(one, key))),
        cluster=cluster,
        negative_ids=tuple(wrong.values()),
    )


def labelled_pairs(
    labelled: Sequence[LabelledText], clusters: Mapping[str, str] | None = None
) -> list[TrainingPair]:
    """Makes one pair of each imported text that is relevant; the others of its anchor are its negatives.

    Args:
        labelled: Imported texts with their split.
        clusters: As in `build_pairs`, by what `text_id` says.

    Returns:
        Pairs ordered by anchor key and text; `document_id` is what `text_id` says of the positive.
    """
    wrong: dict[str, list[LabelledText]] = {}
    for one in labelled:
        if not one.relevant:
            wrong.setdefault(query_key(one.anchor), []).append(one)
    pairs = [
        _labelled_pair(one, wrong.get(query_key(one.anchor), ()), clusters or {})
        for one in labelled
        if one.relevant
    ]
    return sorted(pairs, key=lambda pair: (pair.anchor_key, pair.document_id))


def _labelled_pair(
    positive: LabelledText, wrong: Sequence[LabelledText], clusters: Mapping[str, str]
) -> TrainingPair:
    cluster = clusters.get(text_id(positive.text), "")
    apart = [one for one in wrong if not cluster or clusters.get(text_id(one.text)) != cluster]
    negatives = apart if positive.split is Split.TRAIN else []
    return TrainingPair(
        anchor=positive.anchor,
        positive=positive.text,
        negatives=tuple(one.text for one in negatives),
        anchor_key=query_key(positive.anchor),
        document_id=text_id(positive.text),
        split=positive.split,
        lineage=tuple(dict.fromkeys((positive.source, *(one.source for one in negatives)))),
        cluster=cluster,
        negative_ids=tuple(text_id(one.text) for one in negatives),
    )


def with_negatives(
    pairs: Sequence[TrainingPair],
    texts: Mapping[str, str],
    negatives: Mapping[str, Sequence[str]],
    clusters: Mapping[str, str],
) -> list[TrainingPair]:
    """Gives pairs that were made without labels their hard negatives; arguments as in `build_pairs`."""
    by_key = {query_key(query): ids for query, ids in negatives.items()}
    found = []
    for pair in pairs:
        cluster = clusters.get(pair.document_id, "")
        wrong: dict[str, str] = {}
        for one in by_key.get(pair.anchor_key, ()) if pair.split is Split.TRAIN else ():
            apart = not cluster or clusters.get(one) != cluster
            if apart and one in texts and one != pair.document_id and texts[one] != pair.positive:
                wrong.setdefault(texts[one], one)
        ids = tuple(wrong.values())
        found.append(replace(pair, negatives=tuple(wrong), negative_ids=ids, cluster=cluster))
    return found


def text_id(text: str) -> str:
    """What a text that is no document goes by where a document has its id."""
    return f"text:{text_key(text)}"


def _sources(judgment: Judgment, key: str) -> Sequence[str]:
    return judgment.sources or (f"{judgment.source}:{key}:{judgment.document_id}",)


def write_training_set(pairs: Sequence[TrainingPair], folder: Path) -> FrozenSet:
    """Freezes pairs into `folder/<sha256>.jsonl`; the same pairs in any order give the same file."""
    lines = sorted(json.dumps(asdict(pair), sort_keys=True) for pair in pairs)
    content = "".join(f"{line}\n" for line in lines).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sha256}.jsonl"
    path.write_bytes(content)
    counts = Counter(str(pair.split) for pair in pairs)
    return FrozenSet(
        path=path,
        sha256=sha256,
        counts={
            "pairs": len(pairs),
            "train": counts["train"],
            "dev": counts["dev"],
            "documents": len({pair.document_id for pair in pairs}),
            "with_negatives": sum(bool(pair.negatives) for pair in pairs),
        },
    )


def read_training_set(path: Path) -> list[TrainingPair]:
    """Reads what `write_training_set` wrote.

    Raises:
        TrainingFailed: The file is missing or a line of it is not a pair.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise TrainingFailed(f"the training set {path} cannot be read: {error}") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            raw = json.loads(line)
            raw["split"] = Split(raw["split"])
            for name in ("negatives", "lineage", "negative_ids"):
                raw[name] = tuple(raw.get(name, ()))
            pairs.append(TrainingPair(**raw))
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingFailed(f"line {number} of {path} is not a training pair: {error}") from error
    return pairs
