"""The gate: whether a candidate may serve, decided on golden queries."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.policy import GateSettings
from training.evaluation import METRICS, Scores, paired_bootstrap

NO_GENERAL_SET = "general: not measured, no general set was given"


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict, the reasons in words, and every number that it rests on (JSON-ready)."""

    passed: bool
    reasons: tuple[str, ...]
    metrics: Mapping[str, Any]


def decide(settings: GateSettings, serving: Scores, candidate: Scores) -> GateDecision:
    """Lets a candidate pass only if its gain is beyond chance.

    The lower end of the paired-bootstrap interval of `settings.metric` (candidate minus serving) must lie
    above `settings.min_uplift`, on at least `settings.min_queries` golden queries. Every other metric is
    reported with its interval and decides nothing.

    Args:
        settings: What has to be proven.
        serving: Scores of the model in charge.
        candidate: Scores of the new model on the same queries and pool.

    Raises:
        InvalidInput: The two were not scored on the same queries.
    """
    if serving.queries != candidate.queries:
        raise InvalidInput(
            f"serving and candidate must be scored on the same queries, got {len(serving.queries)} "
            f"and {len(candidate.queries)}"
        )
    intervals = {
        name: paired_bootstrap(serving.per_query[name], candidate.per_query[name], settings.confidence)
        for name in METRICS
    }
    uplift = intervals[settings.metric]
    queries = len(serving.queries)
    enough = queries >= settings.min_queries
    better = uplift.low > settings.min_uplift
    measured = (
        f"{settings.metric} {serving.mean[settings.metric]:.4f} -> {candidate.mean[settings.metric]:.4f} "
        f"({uplift.mean:+.4f}, {settings.confidence:.0%} interval {uplift.low:+.4f} to {uplift.high:+.4f})"
    )
    reasons = [
        f"{measured}: lower end {'is' if better else 'must be'} above min_uplift {settings.min_uplift:+.4f}"
    ]
    if not enough:
        reasons.append(f"golden queries must be at least {settings.min_queries}, got {queries}")
    reasons.append(NO_GENERAL_SET)
    metrics = {
        "metric": settings.metric,
        "queries": queries,
        "confidence": settings.confidence,
        "min_uplift": settings.min_uplift,
        "serving": dict(serving.mean),
        "candidate": dict(candidate.mean),
        "uplift": {name: asdict(interval) for name, interval in intervals.items()},
        "general": None,
    }
    return GateDecision(enough and better, tuple(reasons), metrics)


def gate_pool(relevant: Collection[str], all_ids: Sequence[str], size: int, seed: int) -> list[str]:
    """Chooses the documents that both models rank: all relevant ones and random others up to `size`.

    Args:
        relevant: Ids judged relevant to a golden query; all are kept, even beyond `size`.
        all_ids: Ids of the live documents; relevant ones that are not live are left out.
        size: Documents wanted.
        seed: The same seed and documents give the same pool.

    Returns:
        Distinct ids, sorted.
    """
    live = sorted(set(all_ids))
    kept = set(relevant) & set(live)
    others = [one for one in live if one not in kept]
    wanted = min(len(others), max(0, size - len(kept)))
    return sorted(kept | set(random.Random(seed).sample(others, wanted)))
