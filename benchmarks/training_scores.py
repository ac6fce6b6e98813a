"""Systems beside each other on one data set, and what is claimed of all sets together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from benchmarks import verdicts
from benchmarks.training_models import METRICS
from training.evaluation import Interval, Scores, bootstrap_interval, paired_difference

OURS, PLAIN, BASE, BM25 = "ours", "plain", "base", "bm25"
SYSTEMS = (BM25, BASE, PLAIN, OURS)
DECIDES = "ndcg@10"
# What is called significant.
LEVEL = 0.05


def table_of(systems: Mapping[str, Scores], only: Collection[str] | None = None) -> dict[str, Any]:
    """Every system with its intervals, and what ours gains over each of the others.

    Args:
        systems: Name -> scores on the same queries; `ours` is among them.
        only: Keys of the queries that count; None counts all.

    Returns:
        `queries`; `systems`: name -> metric -> mean, low, high; `ours_over`: name -> metric -> mean, low, high
        and p of a paired randomisation test.
    """
    values = {name: _kept(scores, only) for name, scores in systems.items()}
    return {
        "queries": len(values[OURS][DECIDES]),
        "systems": {
            name: {metric: _told(bootstrap_interval(list(one.values()))) for metric, one in by_metric.items()}
            for name, by_metric in values.items()
        },
        "ours_over": {
            name: {
                metric: _told(paired_difference(one, values[OURS][metric])) for metric, one in by_metric.items()
            }
            for name, by_metric in values.items()
            if name != OURS
        },
    }


def general_table(scores: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """nDCG@10 of each model on a set outside its corpus, and what it changed against the base."""
    base = scores[BASE]
    told: dict[str, Any] = {}
    for name, one in scores.items():
        told[name] = _told(bootstrap_interval(list(one.values())))
        if name != BASE:
            told[name]["change"] = _told(paired_difference(base, one))
    return told


def aims(sets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the figures should show, over all sets that were measured."""
    over_plain = {name: one["test"]["ours_over"][PLAIN][DECIDES] for name, one in sets.items()}
    better = [one for one in over_plain.values() if one["mean"] > 0]
    significant = [one for one in better if one["p"] < LEVEL]
    gains = [
        one["test"]["ours_over"][BASE][metric]["mean"]
        for one in sets.values()
        for metric in ("precision@5", "hit@5")
    ]
    changes, elsewhere = (
        [one[where][OURS]["change"]["mean"] for one in sets.values()] for where in ("general", "elsewhere")
    )
    return {
        "sets_on_which_ours_beats_plain": verdicts.judged(len(better), at_least=len(sets)),
        "sets_on_which_it_does_significantly": verdicts.judged(len(significant), at_least=len(sets) // 2 + 1),
        "largest_gain_over_base_in_hit@5_or_precision@5": verdicts.judged(max(gains), at_least=0.18),
        "worst_change_on_the_general_set": verdicts.judged(min(changes), at_least=-0.01),
        "worst_change_on_a_set_of_another_field": verdicts.judged(min(elsewhere)),
    }


def _kept(scores: Scores, only: Collection[str] | None) -> dict[str, dict[str, float]]:
    return {
        metric: {
            query: value for query, value in scores.per_query[metric].items() if only is None or query in only
        }
        for metric in METRICS
    }


def _told(found: Interval) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(found).items()}
