"""The gate: whether a candidate may serve, decided on golden queries, their slices, a general set and cost."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.policy import GateSettings
from embedloop.records.gate import Evidence
from training.evaluation import METRICS, Interval, Scores, paired_bootstrap
from training.slices import Slices

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


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model costs: median milliseconds to encode one query, and megabytes of its files."""

    query_ms: float
    model_mb: float


@dataclass(frozen=True, slots=True)
class SliceChange:
    """The change of the gate's metric in one slice; a slice that is too small is not `judged`."""

    facet: str
    value: str
    queries: int
    change: Interval
    judged: bool
    worse: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the gate; an empty reason is not worth telling."""

    passed: bool
    reason: str


def decide(
    settings: GateSettings,
    serving: Scores,
    candidate: Scores,
    general: General | None = None,
    slices: Slices | None = None,
    cost: Cost | None = None,
    *,
    evidence: Evidence = "golden",
) -> GateDecision:
    """Lets a candidate pass only if all of this is so, and keeps every number:

    1. The lower end of the paired-bootstrap interval of `settings.metric` (candidate minus serving) lies above
       `settings.min_uplift`, on at least `settings.min_queries` golden queries.
    2. No slice of at least `settings.min_slice_queries` queries falls by more than `settings.max_slice_drop`
       beyond chance: the whole interval of its difference lies below 0.
    3. On the general set the mean nDCG@10 falls by at most `settings.max_general_drop`.
    4. Encoding a query and the model's files stay within `settings.max_query_ms` and `settings.max_model_mb`.

    Every other metric is reported with its interval and decides nothing.

    Args:
        settings: What has to be proven.
        serving: Scores of the model in charge.
        candidate: Scores of the new model on the same queries and pool.
        general: Scores on the general set; None says that there was none, and is told in the reasons.
        slices: Groups of these queries.
        cost: What the candidate costs; None where it was not measured.
        evidence: What the queries are: judged by people, or made of documents that train nothing.

    Raises:
        InvalidInput: The two were not scored on the same queries, or a limit is set and no cost was measured.
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
    compared = compare_slices(settings, serving, candidate, slices or {})
    kept, forgotten, told = _forgetting(settings, general)
    checks = [
        _uplift(settings, serving, candidate, intervals[settings.metric]),
        _enough(settings, len(serving.queries), evidence),
        _slices(settings, compared),
        Check(kept, told),
        *_limits(settings, cost),
    ]
    metrics = {
        "metric": settings.metric,
        "evidence": evidence,
        "queries": len(serving.queries),
        "confidence": settings.confidence,
        "min_uplift": settings.min_uplift,
        "serving": dict(serving.mean),
        "candidate": dict(candidate.mean),
        "uplift": {name: asdict(interval) for name, interval in intervals.items()},
        "slices": [asdict(one) for one in compared],
        "max_slice_drop": settings.max_slice_drop,
        "general": forgotten,
        "cost": None if cost is None else asdict(cost),
    }
    reasons = tuple(check.reason for check in checks if check.reason)
    return GateDecision(all(check.passed for check in checks), reasons, metrics)


def compare_slices(
    settings: GateSettings, serving: Scores, candidate: Scores, slices: Slices
) -> list[SliceChange]:
    """The change of `settings.metric` in each slice, and whether the gate holds it for worse."""
    name = settings.metric
    found = []
    for facet, values in sorted(slices.items()):
        for value, members in sorted(values.items()):
            before = {query: serving.per_query[name][query] for query in serving.queries if query in members}
            after = {query: candidate.per_query[name][query] for query in before}
            if not before:
                continue
            change = paired_bootstrap(before, after, settings.confidence)
            judged = settings.max_slice_drop is not None and len(before) >= settings.min_slice_queries
            worse = judged and change.mean < -float(settings.max_slice_drop or 0.0) and change.high < 0
            found.append(SliceChange(facet, value, len(before), change, judged, worse))
    return found


def _uplift(settings: GateSettings, serving: Scores, candidate: Scores, uplift: Interval) -> Check:
    better = uplift.low > settings.min_uplift
    return Check(
        better,
        f"{settings.metric} {serving.mean[settings.metric]:.4f} -> {candidate.mean[settings.metric]:.4f} "
        f"({uplift.mean:+.4f}, {settings.confidence:.0%} interval {uplift.low:+.4f} to {uplift.high:+.4f}): "
        f"lower end {'is' if better else 'must be'} above min_uplift {settings.min_uplift:+.4f}",
    )


def _enough(settings: GateSettings, queries: int, evidence: Evidence) -> Check:
    named = "golden queries" if evidence == "golden" else "queries of documents held out"
    if queries >= settings.min_queries:
        return Check(True, "" if evidence == "golden" else f"measured on {queries} {named}: weak evidence")
    return Check(False, f"{named} must be at least {settings.min_queries}, got {queries}")


def _slices(settings: GateSettings, compared: Sequence[SliceChange]) -> Check:
    judged = [one for one in compared if one.judged]
    worse = [one for one in judged if one.worse]
    if not worse:
        told = f"none of {len(judged)} slices is worse by more than max_slice_drop {settings.max_slice_drop}"
        return Check(True, told if judged else "")
    named = ", ".join(
        f"{one.facet} {one.value!r} ({one.queries} queries) {one.change.mean:+.4f} "
        f"({one.change.low:+.4f} to {one.change.high:+.4f})"
        for one in worse
    )
    return Check(False, f"slices must not fall by more than max_slice_drop {settings.max_slice_drop}: {named}")


def _limits(settings: GateSettings, cost: Cost | None) -> list[Check]:
    limits = {"max_query_ms": settings.max_query_ms, "max_model_mb": settings.max_model_mb}
    wanted = {name: limit for name, limit in limits.items() if limit is not None}
    if wanted and cost is None:
        raise InvalidInput(f"a gate with {sorted(wanted)} needs the candidate's cost, got none")
    measured = {} if cost is None else {"max_query_ms": cost.query_ms, "max_model_mb": cost.model_mb}
    words = {"max_query_ms": "ms to encode a query", "max_model_mb": "MB of files"}
    return [
        Check(
            measured[name] <= limit,
            f"{measured[name]:.1f} {words[name]} {'is' if measured[name] <= limit else 'must be'} at most "
            f"{name} {limit:g}",
        )
        for name, limit in wanted.items()
    ]


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
