"""The library's trainer for a set wall time instead of a number of epochs."""

from __future__ import annotations

import time
from typing import Any

import psutil
from sentence_transformers import SentenceTransformerTrainer
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from benchmarks.clock import Clock
from training.schedule import rate_share

# Left of the wall time for writing the model.
_SAVING_SECONDS = 1.0
# More than any wall time holds: the clock ends the training.
_MOST_STEPS = 10**9


def clocked(wall_seconds: float, warmup_ratio: float) -> type[SentenceTransformerTrainer]:
    """A trainer that ends `wall_seconds` after the start of this process, with the rate at zero.

    A user who knows the time would choose the number of epochs that fits it; by the clock, none is guessed.
    """
    age = time.time() - psutil.Process().create_time()
    clock = Clock(wall_seconds - age - _SAVING_SECONDS)

    class Ending(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = clock.progress() >= 1.0

    class Clocked(SentenceTransformerTrainer):
        def __init__(self, **parts: Any) -> None:
            parts["args"].max_steps = _MOST_STEPS
            super().__init__(callbacks=[Ending()], **parts)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer,
                lambda _: rate_share(clock.progress(), steps=1.0, warmup=warmup_ratio),
            )
            return self.lr_scheduler

    return Clocked
