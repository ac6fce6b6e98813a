"""Pairs from outside the corpus, mixed into its training set at a chosen ratio, with lineage that says so."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import Transfer
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.general import GeneralPair, packaged_pairs
from training.server_files import read_lines

LINEAGE = "transfer"
_MOST_CHARACTERS = 20_000


def transfer_pairs(
    transfer: Transfer, own: Sequence[TrainingPair], kept_out: Collection[str], seed: int
) -> list[TrainingPair]:
    """Chooses `transfer.ratio` times as many pairs as the corpus trains on, or all that there are.

    Args:
        transfer: Where from, and how many.
        own: The corpus' pairs.
        kept_out: Keys of queries that must not train, such as golden ones; those of `own` are left out too.
        seed: The same seed gives the same pairs.

    Returns:
        Pairs of the train split, each with one line of lineage, `transfer:<source>:<where>`.

    Raises:
        TrainingFailed: The file cannot be read, or a line of it is no pair.
    """
    taken = {pair.anchor_key for pair in own} | set(kept_out)
    found = packaged_pairs() if transfer.path == "general" else list(_read(Path(transfer.path)))
    usable = [pair for pair in found if query_key(pair.anchor) not in taken]
    trained = sum(pair.split is Split.TRAIN for pair in own)
    count = min(len(usable), round(transfer.ratio * trained))
    source = "general" if transfer.path == "general" else Path(transfer.path).name
    return [
        TrainingPair(
            anchor=pair.anchor,
            positive=pair.positive,
            negatives=(),
            anchor_key=query_key(pair.anchor),
            document_id=f"{LINEAGE}:{source}:{pair.identity}",
            split=Split.TRAIN,
            lineage=(f"{LINEAGE}:{source}:{pair.identity}",),
        )
        for pair in random.Random(seed).sample(usable, count)
    ]


def _read(path: Path) -> Iterator[GeneralPair]:
    """The pairs of a JSONL file; an error names the line and never shows it, for any file could be named."""
    for number, line in enumerate(read_lines(path, "training.transfer.path"), start=1):
        if line.strip():
            yield _pair(line, number, path)


def _pair(line: str, number: int, path: Path) -> GeneralPair:
    try:
        raw = json.loads(line)
        anchor, positive = raw["anchor"], raw["positive"]
    except (ValueError, KeyError, TypeError):
        anchor = positive = None
    for text in (anchor, positive):
        if not isinstance(text, str) or not text.strip() or len(text) > _MOST_CHARACTERS:
            raise TrainingFailed(
                f'line {number} of {path} must be {{"anchor": ..., "positive": ...}} with texts of 1 to '
                f"{_MOST_CHARACTERS} characters"
            )
    return GeneralPair(str(number), anchor, positive)
