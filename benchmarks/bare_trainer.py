"""sentence-transformers' own trainer with its defaults: `python -m benchmarks.bare_trainer`."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import psutil

from benchmarks import child
from benchmarks.clock import Clock

# Left of the wall time for writing the model.
_SAVING_SECONDS = 1.0


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Trains on (anchor, positive) pairs and saves the model; the seconds are those of `train()`.

    With `wall_seconds` it trains for so long, counted from the start of this process, whatever `epochs` says.
    `max_tokens` None keeps the window of the model; `device` is `cpu` unless told.
    """
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.utils.logging import disable_progress_bar

    from benchmarks.clocked_trainer import clocked

    disable_progress_bar()
    device = config.get("device", "cpu")
    model = SentenceTransformer(config["base"], device=device, local_files_only=True)
    model.max_seq_length = config["max_tokens"] or model.max_seq_length
    pairs = config["pairs"]
    steps_per_epoch = math.ceil(len(pairs) / config["batch_size"])
    steps = math.ceil(config["epochs"] * steps_per_epoch)
    kind: Any = SentenceTransformerTrainer
    if "wall_seconds" in config:
        kind = clocked(Clock(config["wall_seconds"] - _age_seconds() - _SAVING_SECONDS), config["warmup_ratio"])
    trainer = kind(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=config["out"],
            num_train_epochs=config["epochs"],
            per_device_train_batch_size=config["batch_size"],
            learning_rate=config["learning_rate"],
            warmup_steps=math.ceil(config["warmup_ratio"] * steps),
            seed=config["seed"],
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=device == "cpu",
            bf16=device != "cpu",
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_dict(
            {"anchor": [anchor for anchor, _ in pairs], "positive": [positive for _, positive in pairs]}
        ),
        loss=MultipleNegativesRankingLoss(model),
    )
    begin = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begin
    folder = f"{config['out']}/model"
    model.save_pretrained(folder, create_model_card=False)
    return {
        "model": folder,
        "steps": trainer.state.global_step,
        "epochs": round(trainer.state.global_step / steps_per_epoch, 2),
        "seconds": round(seconds, 2),
        "threads": torch.get_num_threads(),
    }


def _age_seconds() -> float:
    """What this process has taken so far, its imports included."""
    return time.time() - psutil.Process().create_time()


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    child.answer(main)
