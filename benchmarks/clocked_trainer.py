"""The library's trainer for a set time instead of a number of epochs."""

from __future__ import annotations

from typing import Any

from sentence_transformers import SentenceTransformerTrainer
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from benchmarks.clock import Clock
from training.schedule import rate_share

# More than any time holds: the clock ends the training.
_MOST_STEPS = 10**9


def clocked(clock: Clock, warmup_ratio: float) -> type[SentenceTransformerTrainer]:
    """A trainer that ends with the clock, when its rate has fallen to zero.

    A user who knows the time would choose the number of epochs that fits it; by the clock, none is guessed.
    """

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
