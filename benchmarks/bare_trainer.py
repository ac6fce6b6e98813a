"""sentence-transformers' own trainer with its defaults: `python -m benchmarks.bare_trainer`."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from benchmarks import child


def main(config: dict[str, Any]) -> dict[str, Any]:
    """Trains on (anchor, positive) pairs and saves the model; the seconds are those of `train()`."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = SentenceTransformer(config["base"], device="cpu", local_files_only=True)
    model.max_seq_length = config["max_tokens"]
    pairs = config["pairs"]
    steps = math.ceil(config["epochs"] * math.ceil(len(pairs) / config["batch_size"]))
    trainer = SentenceTransformerTrainer(
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
            use_cpu=True,
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
        "seconds": round(seconds, 2),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    child.answer(main)
