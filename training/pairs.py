"""Training pairs from judgments, and the frozen training set that they become."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedloop.errors import TrainingFailed
from embedloop.records import Judgment, LabelledText, Split, TrainingPair
from embedloop.text.normalise import query_key, text_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """A training set on disk: canonical JSONL, the SHA-256 of its bytes, and how many of what it holds."""

    path: Path
    sha256: str
    counts: Mapping[str, int]


def build_pairs(
    judgments: Sequence[Judgment], texts: Mapping[str, str], negatives: Mapping[str, Sequence[str]]
) -> list[TrainingPair]:
    """Makes one pair of each relevant (query, document) that may be learnt from.

    Golden judgments, grade 0 and documents without a text are left out, and logged as counts. Judgments that
    share query key and document become one pair with the lineage of all.

    Args:
        judgments: Labels with their split.
        texts: Document id -> text, exactly as passages of it are embedded.
        negatives: Query -> ids of hard negatives; only training pairs receive them.

    Returns:
        Pairs ordered by anchor key and document id.
    """
    by_key = {query_key(query): ids for query, ids in negatives.items()}
    left_out: Counter[str] = Counter()
    chosen: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in judgments:
        if judgment.split is Split.GOLDEN:
            left_out["golden"] += 1
        elif judgment.grade < 1:
            left_out["not_relevant"] += 1
        elif judgment.document_id not in texts:
            left_out["no_text"] += 1
        else:
            chosen.setdefault((query_key(judgment.query), judgment.document_id), []).append(judgment)
    log.info("%d pairs; left out: %s", len(chosen), dict(left_out))
    return [
        _pair(key, document_id, group, texts, by_key.get(key, ()))
        for (key, document_id), group in sorted(chosen.items())
    ]


def _pair(
    key: str, document_id: str, group: Sequence[Judgment], texts: Mapping[str, str], negatives: Sequence[str]
) -> TrainingPair:
    first, positive = group[0], texts[document_id]
    wrong: dict[str, str] = {}
    if first.split is Split.TRAIN:
        for one in negatives:
            if one in texts and texts[one] != positive:
                wrong.setdefault(texts[one], one)
    return TrainingPair(
        anchor=first.query,
        positive=positive,
        negatives=tuple(wrong),
        anchor_key=key,
        document_id=document_id,
        split=first.split,
        lineage=tuple(dict.fromkeys(source for one in group for source in _sources(one, key))),
        negative_ids=tuple(wrong.values()),
    )


def labelled_pairs(labelled: Sequence[LabelledText]) -> list[TrainingPair]:
    """Makes one pair of each imported text that is relevant; the others of its anchor are its negatives.

    Returns:
        Pairs ordered by anchor key and text; `document_id` is `text:` and the key of the text.
    """
    wrong: dict[str, list[LabelledText]] = {}
    for one in labelled:
        if not one.relevant:
            wrong.setdefault(query_key(one.anchor), []).append(one)
    pairs = []
    for one in labelled:
        if not one.relevant:
            continue
        key = query_key(one.anchor)
        negatives = wrong.get(key, []) if one.split is Split.TRAIN else []
        pairs.append(
            TrainingPair(
                anchor=one.anchor,
                positive=one.text,
                negatives=tuple(negative.text for negative in negatives),
                anchor_key=key,
                document_id=text_id(one.text),
                split=one.split,
                lineage=tuple(dict.fromkeys((one.source, *(negative.source for negative in negatives)))),
                negative_ids=tuple(text_id(negative.text) for negative in negatives),
            )
        )
    return sorted(pairs, key=lambda pair: (pair.anchor_key, pair.document_id))


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
