"""Whether a demo showed what it was to show."""

from __future__ import annotations

from collections.abc import Mapping

from embedloop.client.results import Json
from embedloop.demo.metrics import Comparison
from embedloop.demo.plan import DemoPlan
from embedloop.demo.swap_probe import Verdict


def failures(plan: DemoPlan, cycle: Json, verdict: Verdict, compared: Mapping[str, Comparison]) -> list[str]:
    """List in words what failed; empty when nothing did.

    Args:
        plan: What was to be achieved.
        cycle: The cycle's job at its end.
        verdict: About the searches during the swap.
        compared: The test before and after.
    """
    return [*_of_cycle(cycle), *_of_swap(verdict), *_of_uplift(plan, compared)]


def promoted(cycle: Json) -> bool:
    """Tell whether a cycle's job moved the corpus to its candidate."""
    return bool((cycle.get("result") or {}).get("promoted"))


def _of_cycle(cycle: Json) -> list[str]:
    result = cycle.get("result") or {}
    found = []
    gate = result.get("gate")
    if gate is not None and gate["verdict"] != "passed":
        found.append(f"the gate must pass, it {gate['verdict']}: {'; '.join(gate['reasons'])}")
    if cycle["state"] != "succeeded" and not found:
        why = (cycle.get("error") or {}).get("message") or result.get("reason") or "no reason was given"
        found.append(f"the cycle must succeed, it {cycle['state']}: {why}")
    if not promoted(cycle):
        found.append("the candidate must be promoted, it was not")
    return found


def _of_swap(verdict: Verdict) -> list[str]:
    found = []
    if verdict.errors:
        found.append(f"no search may fail during the swap, {verdict.errors} of {verdict.searches} did")
    if verdict.mixed:
        found.append(f"no answer may mix two versions, {verdict.mixed} of {verdict.searches} did")
    return [*found, *verdict.reasons[:3]] if found else []


def _of_uplift(plan: DemoPlan, compared: Mapping[str, Comparison]) -> list[str]:
    found = []
    hit5 = compared["hit@5"].uplift
    if plan.proves_uplift and hit5.low <= 0:
        found.append(f"the uplift of hit@5 must be beyond chance, got {hit5.low:+.3f} to {hit5.high:+.3f}")
    for metric, least in plan.aims.items():
        uplift = compared[metric].uplift.mean
        if uplift < least:
            found.append(f"the uplift of {metric} must be at least {least:+.3f}, got {uplift:+.4f}")
    return found
