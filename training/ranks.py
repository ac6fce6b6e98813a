"""Several processes that train one model, each on its own GPU: what only the first does, and what all must
agree on.

`torch.distributed.run` starts them and accelerate joins them. Tried with two processes on a CPU (gloo); with
several GPUs (NCCL) it has not run yet.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as distributed
from accelerate import PartialState

Value = TypeVar("Value")


def command(config_file: Path, processes: int) -> list[str]:
    """How a fine-tune is started.

    >>> command(Path("c.json"), 1)[1:]
    ['-m', 'training', 'c.json']
    >>> command(Path("c.json"), 4)[1:-3]
    ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '4']
    """
    module = ["-m", "training", str(config_file)]
    if processes == 1:
        return [sys.executable, *module]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *launcher, *module]


def is_first() -> bool:
    """Whether this process tells, measures and writes."""
    return int(os.environ.get("RANK", "0")) == 0


def count() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: str) -> None:
    """Makes the processes known to each other, where there are several."""
    if count() > 1:
        PartialState(cpu=device == "cpu")


def leave() -> None:
    """The others may end; the first goes on alone."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must ask."""
    if not distributed.is_initialized():
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    votes = torch.tensor([float(flag)], device=device)
    distributed.all_reduce(votes)
    return bool(votes.item() > 0)


def from_first(make: Callable[[], Value]) -> Value:
    """What the first process makes, in all of them; every process must ask."""
    if not distributed.is_initialized():
        return make()
    made: list[Value | None] = [make() if is_first() else None]
    distributed.broadcast_object_list(made, src=0)
    return made[0]  # type: ignore[return-value]
