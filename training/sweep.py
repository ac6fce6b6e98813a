"""The alpha sweep after a fine-tune: base, mixtures and tuned model on dev and general sets, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from sentence_transformers import SentenceTransformer

from training.general import METRIC, GeneralSet
from training.general_score import score_general
from training.merging import Sweep, SweepPoint, choose_alpha, interpolate, mixtures, refined_alpha
from training.prompts import Prompts
from training.validation import DevSet, encode

# Each halves the gap between what may be forgotten and what is.
REFINEMENTS = 2


def sweep(
    model: SentenceTransformer,
    base: Mapping[str, torch.Tensor],
    alphas: Sequence[float],
    *,
    dev: DevSet | None,
    known_dev: tuple[float, float] | None,
    general: Sequence[GeneralSet],
    prompts: Prompts,
    max_general_drop: float,
    dimension: int | None = None,
    on_point: Callable[[float], None],
) -> Sweep:
    """Measures mixtures of base and tuned weights and leaves the chosen one in `model`.

    Where the bound on forgetting decides, the place between the mixtures where it is met is looked for.

    Args:
        model: With the tuned weights.
        base: Weights that the training started from, with the same names.
        alphas: Shares of the tuned weights, between 0 and 1.
        dev: Chooses together with `general`.
        known_dev: nDCG@10 on dev of base and tuned model, measured in training already.
        general: Sets outside the corpus; none are measured when there are none.
        prompts: The model's.
        max_general_drop: Most nDCG@10 that the choice may lose on `general`.
        dimension: What the vectors are cut to on the general sets, as `dev` does it.
        on_point: Told the share of the sweep that is done, 0..1, before each measuring.
    """
    tuned = {name: one.detach().clone() for name, one in model.state_dict().items()}
    between = mixtures(alphas)
    known = {} if known_dev is None else dict(zip((0.0, 1.0), known_dev, strict=True))
    points: list[SweepPoint] = []

    def measure(alpha: float) -> None:
        on_point(len(points) / (len(between) + 2 + REFINEMENTS))
        model.load_state_dict(interpolate(base, tuned, alpha))
        score = known.get(alpha)
        if score is None and dev is not None:
            score = dev.measure(model)[0]
        points.append(SweepPoint(alpha, score, _general(model, general, prompts, dimension)))

    for alpha in (0.0, *between, 1.0):
        measure(alpha)
    for _ in range(REFINEMENTS):
        if (nearer := refined_alpha(points, max_general_drop)) is not None:
            measure(nearer)
    chosen = choose_alpha(points, max_general_drop)
    model.load_state_dict(interpolate(base, tuned, chosen.alpha))
    return chosen


def _general(
    model: SentenceTransformer, general: Sequence[GeneralSet], prompts: Prompts, dimension: int | None
) -> float | None:
    if not general:
        return None
    scores = score_general(
        general,
        lambda texts: encode(model, [prompts.query + text for text in texts], dimension),
        lambda texts: encode(model, [prompts.passage + text for text in texts], dimension),
    )
    return scores.mean[METRIC]
