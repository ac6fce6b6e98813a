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
_GENERAL = "ndcg@10"


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict, the reasons in words, and every number that it rests on (JSON-ready)."""

    passed: bool
    reasons: tuple[str, ...]
    metrics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class General:
    """Scores outside the corpus: of the untrained base, and of the candidate that was made of it."""

    base: Scores
    candidate: Scores


def decide(
    settings: GateSettings, serving: Scores, candidate: Scores, general: General | None = None
) -> GateDecision:
    """Lets a candidate pass only if its gain is beyond chance and it has not forgotten what its base knew.

    The lower end of the paired-bootstrap interval of `settings.metric` (candidate minus serving) must lie
    above `settings.min_uplift`, on at least `settings.min_queries` golden queries. On the general set the mean
    nDCG@10 may fall by at most `settings.max_general_drop`. Every other metric is reported with its interval
    and decides nothing.

    Args:
        settings: What has to be proven.
        serving: Scores of the model in charge.
        candidate: Scores of the new model on the same queries and pool.
        general: Scores on the general set; None says that there was none, and is told in the reasons.

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
    kept, forgotten, told = _forgetting(settings, general)
    reasons.append(told)
    metrics = {
        "metric": settings.metric,
        "queries": queries,
        "confidence": settings.confidence,
        "min_uplift": settings.min_uplift,
        "serving": dict(serving.mean),
        "candidate": dict(candidate.mean),
        "uplift": {name: asdict(interval) for name, interval in intervals.items()},
        "general": forgotten,
    }
    return GateDecision(enough and better and kept, tuple(reasons), metrics)


def _forgetting(settings: GateSettings, general: General | None) -> tuple[bool, dict[str, Any] | None, str]:
    """Whether enough is kept, the numbers, and the reason in words."""
    if general is None:
        return True, None, NO_GENERAL_SET
    change = paired_bootstrap(
        general.base.per_query[_GENERAL], general.candidate.per_query[_GENERAL], settings.confidence
    )
    # Means of the same numbers in two orders may differ in their last digit.
    kept = change.mean >= -settings.max_general_drop - 1e-9
    before, after = general.base.mean[_GENERAL], general.candidate.mean[_GENERAL]
    told = (
        f"general {_GENERAL} {before:.4f} -> {after:.4f} ({change.mean:+.4f}, {settings.confidence:.0%} "
        f"interval {change.low:+.4f} to {change.high:+.4f}): "
        f"the fall {'is' if kept else 'must be'} at most max_general_drop {settings.max_general_drop:.4f}"
    )
    numbers = {
        "metric": _GENERAL,
        "queries": len(general.base.queries),
        "max_drop": settings.max_general_drop,
        "base": before,
        "candidate": after,
        "change": asdict(change),
    }
    return kept, numbers, told


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
