"""The two recipes on the same pairs for the same time: ours, and the bare trainer of sentence-transformers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import child, training_child
from benchmarks.training_child import Device
from benchmarks.training_models import Encoded
from benchmarks.training_sets import DEV, TEST, TRAIN, RankingSet
from embedloop.policy import GateSettings
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Judgment, Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.finetune import FinetuneConfig
from training.general import GeneralSet, write_general_sets
from training.leakage import Measured, check_leakage
from training.lexical import Bm25
from training.mining import MinedNegatives, mine_hard_negatives
from training.pairs import build_pairs, write_training_set
from training.transfer import transfer_pairs


@dataclass(frozen=True, slots=True)
class PlainRecipe:
    """What the trainer is told; everything else is its default (its sampler, padding, dropout and window)."""

    batch_size: int = 64
    learning_rate: float = 5e-5
    warmup_ratio: float = 0.1


@dataclass(frozen=True, slots=True)
class Trained:
    """A tuned model's folder, the wall time that it took, and what is told of the run."""

    model: Path
    seconds: float
    told: dict[str, Any]


def ours(
    base: Path,
    ranking: RankingSet,
    encoded: Encoded,
    general: GeneralSet,
    settings: TrainingSettings,
    device: Device,
    folder: Path,
) -> Trained:
    """Mining, training, choice of the checkpoint and of the mixture, as a `finetune` job does them.

    Args:
        base: The untrained model.
        ranking: The data set.
        encoded: The base's vectors of all documents. A service has them in its index, so making them does not
            count.
        general: On which little must be forgotten.
        settings: The recipe.
        device: What trains.
        folder: Of the run's files.

    Raises:
        TrainingFailed: A test query was about to be trained on, or the training ended without a model.
    """
    begin = time.perf_counter()
    mined = _mined(ranking, encoded, settings)
    mining_seconds = time.perf_counter() - begin
    tested = [ranking.queries[key] for key in ranking.qrels[TEST]]
    pairs = _pairs(ranking, mined)
    if settings.mixed_in is not None:
        pairs += transfer_pairs(settings.mixed_in, pairs, {query_key(one) for one in tested}, settings.seed)
    check_leakage(pairs, Measured(golden=tested, dev=(), similarity=1.0))
    frozen = write_training_set(pairs, folder / "set")
    write_general_sets([general], folder / "general.json")
    result = training_child.finetune(
        FinetuneConfig(
            base=base,
            out=folder / "run",
            training_set=frozen.path,
            settings=settings,
            query_prompt="",
            passage_prompt="",
            general=folder / "general.json",
            max_general_drop=GateSettings().max_general_drop,
        ),
        device,
    )
    seconds = time.perf_counter() - begin
    told = ("steps", "planned_steps", "stopped_by", "best_step", "dev", "sweep", "notes")
    return Trained(
        Path(result["model"]),
        seconds,
        {
            "seconds": round(seconds, 1),
            "seconds_mining": round(mining_seconds, 1),
            "seconds_training": result["seconds"],
            "negatives": {"taken": dict(mined.taken), "dropped": dict(mined.dropped)},
            **{name: result[name] for name in told},
        },
    )


def plain(
    base: Path,
    ranking: RankingSet,
    recipe: PlainRecipe,
    seconds: float,
    seed: int,
    device: Device,
    folder: Path,
) -> Trained:
    """The same training pairs for the same wall time: no mined negatives, no dev set, no merging."""
    pairs = [pair for pair in labelled(ranking) if pair.split is TRAIN]
    begin = time.perf_counter()
    result = child.measure(
        "benchmarks.bare_trainer",
        {
            "base": str(base),
            "out": str(folder),
            "pairs": [[pair.anchor, pair.positive] for pair in pairs],
            "batch_size": recipe.batch_size,
            "learning_rate": recipe.learning_rate,
            "warmup_ratio": recipe.warmup_ratio,
            "max_tokens": None,
            "epochs": 1,
            "seed": seed,
            "device": "cpu" if device == "cpu" else "cuda",
            "wall_seconds": seconds,
        },
    )
    spent = time.perf_counter() - begin
    told = {"seconds": round(spent, 1), "seconds_training": result["seconds"]}
    return Trained(Path(result["model"]), spent, told | {name: result[name] for name in ("steps", "epochs")})


def labelled(ranking: RankingSet) -> list[TrainingPair]:
    """The pairs of a set that train or choose, without mined negatives."""
    return _pairs(ranking, MinedNegatives({}, {}, {}))


def with_negatives(ranking: RankingSet, encoded: Encoded, settings: TrainingSettings) -> list[TrainingPair]:
    """The same pairs with the hard negatives that a job would mine by these vectors."""
    return _pairs(ranking, _mined(ranking, encoded, settings))


def pair_counts(ranking: RankingSet) -> dict[str, int]:
    """How many pairs each split has that is trained or chosen by."""
    return dict(Counter(str(pair.split) for pair in labelled(ranking)))


def _mined(ranking: RankingSet, encoded: Encoded, settings: TrainingSettings) -> MinedNegatives:
    if not settings.hard_negatives:
        return MinedNegatives({}, {}, {})
    by_cosine = encoded if "index" in settings.mining.sources else None
    return mine_hard_negatives(
        {ranking.queries[key]: documents for key, documents in ranking.answers(TRAIN).items()},
        {},
        by_cosine,
        measure=encoded,
        lexical=Bm25(ranking.documents) if "bm25" in settings.mining.sources else None,
        per_query=settings.hard_negatives,
        relative_margin=settings.relative_margin,
        limit=settings.mining.depth,
    )


def _pairs(ranking: RankingSet, mined: MinedNegatives) -> list[TrainingPair]:
    splits: Sequence[Split] = (TRAIN, DEV)
    judgments = [
        Judgment(ranking.queries[key], document, grade, split, source=f"benchmark:{ranking.name}")
        for split in splits
        for key, grades in ranking.qrels[split].items()
        for document, grade in grades.items()
    ]
    return build_pairs(judgments, ranking.documents, mined.negatives)
