"""What a fine-tune runs on: a GPU where there is one, in the precision that it can; else the CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import Precision

Numbers = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """`device` as torch names it, the numbers to train in, and a note where they are not what was asked for."""

    device: str
    numbers: Numbers
    note: str | None = None


def choose_hardware(wanted: Precision, *, cuda: bool, bf16: bool, device: str = "cuda") -> Hardware:
    """Decides from what is there.

    Mixed precision needs a GPU: fp16 and bf16 are no faster than fp32 on most CPUs.

    Args:
        wanted: The policy's `precision`.
        cuda: A GPU can be used.
        bf16: That GPU computes in bf16 (compute capability 8.0 or more).
        device: Name of that GPU.

    >>> choose_hardware("auto", cuda=True, bf16=True)
    Hardware(device='cuda', numbers='bf16', note=None)
    >>> choose_hardware("bf16", cuda=True, bf16=False).numbers
    'fp16'
    >>> choose_hardware("auto", cuda=False, bf16=False)
    Hardware(device='cpu', numbers='fp32', note=None)
    >>> choose_hardware("fp16", cuda=False, bf16=False).note
    'fp16 needs a GPU: trained in fp32 on the CPU'
    """
    if not cuda:
        note = None if wanted in ("auto", "fp32") else f"{wanted} needs a GPU: trained in fp32 on the CPU"
        return Hardware("cpu", "fp32", note)
    if wanted in ("fp32", "fp16"):
        return Hardware(device, "fp32" if wanted == "fp32" else "fp16")
    if bf16:
        return Hardware(device, "bf16")
    note = "this GPU has no bf16: trained in fp16" if wanted == "bf16" else None
    return Hardware(device, "fp16", note)


def hardware_here(wanted: Precision) -> Hardware:
    """Looks at this machine; one process of several takes the GPU of its rank.

    Raises:
        TrainingFailed: There are more processes than GPUs.
    """
    cuda = torch.cuda.is_available()
    place = int(os.environ.get("LOCAL_RANK", "0"))
    there = torch.cuda.device_count()
    if cuda and place >= there:
        raise TrainingFailed(f"training.processes must be at most the number of GPUs ({there}), got more")
    device = f"cuda:{place}"
    return choose_hardware(wanted, cuda=cuda, bf16=cuda and torch.cuda.is_bf16_supported(), device=device)
