"""A trial for ablations: a real fine-tune, measured on dev queries one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

from embedloop.errors import InvalidInput
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.augmentation.ablation import Trial
from training.finetune import FinetuneConfig, finetune
from training.model_files import load_model
from training.pairs import write_training_set
from training.validation import DevSet

METRIC = "ndcg@10"


def finetune_trial(
    config: FinetuneConfig,
    pairs: Sequence[TrainingPair],
    work: Path,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trial:
    """Each call trains as `config` says, on other pairs, into a folder of its own below `work`.

    All trials are measured with nDCG@10 against the same dev documents and distractors.

    Args:
        config: Base, recipe and prompts; its `out` and `training_set` are not used.
        pairs: Train and dev without augmentation.
        work: An empty folder.
        should_stop: Asked after every step.

    Raises:
        InvalidInput: There is no dev pair.
    """
    train, held_out = ([one for one in pairs if one.split is split] for split in (Split.TRAIN, Split.DEV))
    if not held_out:
        raise InvalidInput(f"a trial needs dev pairs to measure on, got none among {len(pairs)} pairs")
    dev = DevSet(held_out, train, config.query_prompt, config.passage_prompt)
    numbers = count()

    def trial(offered: Sequence[TrainingPair]) -> Mapping[str, float]:
        folder = work / f"trial-{next(numbers)}"
        frozen = write_training_set(offered, folder / "set")
        wanted = replace(config, out=folder / "run", training_set=frozen.path)
        result = finetune(wanted, on_progress=lambda progress: None, should_stop=should_stop)
        return dev.score(load_model(result.model)).per_query[METRIC]

    return trial
