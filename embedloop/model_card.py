"""The card of a model version: where it comes from, how it was made, what was measured, and its limits.

After Mitchell et al. 2019, "Model Cards for Model Reporting". It is made of records that are kept for ever, so
that it is there from registration on, and each gate completes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from embedloop.records.gate import HELD_OUT, Gate
from embedloop.records.training import TrainingSet
from embedloop.records.versions import ModelVersion

_KEPT_METRICS = ("steps", "planned_steps", "seconds", "stopped_by", "best_step", "sweep", "query_map", "bridge")


def card_of(
    model: ModelVersion,
    training_set: TrainingSet | None,
    gates: Sequence[Gate],
    run: Mapping[str, Any] | None,
    sources: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The card, JSON-ready.

    Args:
        model: The model version.
        training_set: What it was trained on; None for an untrained base.
        gates: Every decision on it that the reader may see, the newest first.
        run: What its training left in the model store: configuration and environment; None for nothing.
        sources: How many distinct sources of each kind its pairs have.
    """
    return {
        "model_version": model.model_id,
        "base": model.base,
        "parent": model.parent,
        "corpus": model.corpus,
        "created_at": model.created_at.isoformat(),
        "dimension": model.dimension,
        "max_tokens": model.max_tokens,
        "backend": model.backend,
        "prompts": {"query": model.query_prompt, "passage": model.passage_prompt},
        "files": len(model.manifest),
        "data": _data(training_set, sources or {}),
        "training": _training(model, run),
        "gates": [_gate(gate) for gate in gates],
        "limits": limits_of(model, training_set, gates),
    }


def limits_of(model: ModelVersion, training_set: TrainingSet | None, gates: Sequence[Gate]) -> list[str]:
    """What the model was not shown to do, in words."""
    told = [f"Text beyond {model.max_tokens} tokens is not read."]
    if training_set is not None:
        pairs = training_set.counts.get("train", 0)
        told.append(f"Trained on {pairs} pairs of one corpus, whose people and topics it follows.")
    if not gates:
        told.append("No gate has measured it.")
        return told + [str(note) for note in model.metrics.get("notes", ())]
    newest = gates[0]
    if not newest.passed:
        told.append("The newest gate refused it: it may not serve.")
    told.append(_measured_on(newest))
    if newest.metrics.get("general") is None:
        told.append("What it forgot of other text was not measured.")
    told += [_fallen(one) for one in newest.metrics.get("slices", ()) if one["change"]["high"] < 0]
    return told + [str(note) for note in model.metrics.get("notes", ())]


def to_markdown(card: Mapping[str, Any]) -> str:
    """The card for people."""
    lines = [f"# Model version {_cell(card['model_version'])}", ""]
    named = ("base", "parent", "corpus", "created_at", "dimension", "max_tokens", "backend", "files")
    lines += _table(("", ""), [(name, card[name]) for name in named])
    lines += ["## Data", ""]
    data = card["data"]
    if data is None:
        lines += ["None: an untrained base.", ""]
    else:
        rows = [
            ("training set", data["training_set"]),
            ("sha256", data["sha256"]),
            *sorted(data["counts"].items()),
            *((f"distinct sources: {kind}", count) for kind, count in sorted(data["sources"].items())),
        ]
        lines += _table(("", ""), rows)
    if card["training"] is not None:
        lines += ["## Training", ""]
        lines += _table(("", ""), sorted(_flat(card["training"])))
    lines += ["## Gates", ""]
    for gate in card["gates"]:
        lines += _gate_lines(gate)
    if not card["gates"]:
        lines += ["None yet.", ""]
    lines += ["## Limits", ""]
    return "\n".join([*lines, *(f"- {_cell(limit)}" for limit in card["limits"]), ""])


def _data(training_set: TrainingSet | None, sources: Mapping[str, int]) -> dict[str, Any] | None:
    if training_set is None:
        return None
    return {
        "training_set": training_set.training_set_id,
        "sha256": training_set.sha256,
        "counts": dict(training_set.counts),
        "sources": dict(sources),
        "created_at": training_set.created_at.isoformat(),
    }


def _training(model: ModelVersion, run: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Settings and environment; of the configuration no paths of the server."""
    told: dict[str, Any] = {name: model.metrics[name] for name in _KEPT_METRICS if name in model.metrics}
    if run is not None:
        told |= {"settings": run["config"]["settings"], "environment": run["environment"]}
    return told or None


def _measured_on(gate: Gate) -> str:
    queries = gate.metrics["queries"]
    if gate.metrics.get("evidence") == HELD_OUT:
        return f"Measured on {queries} titles and sentences of corpus {gate.corpus!r}: no person judged it."
    return f"Measured on {queries} golden queries of corpus {gate.corpus!r} alone."


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "corpus": gate.corpus,
        "serving": gate.serving,
        "verdict": "passed" if gate.passed else "failed",
        "reasons": list(gate.reasons),
        "metrics": dict(gate.metrics),
        "created_at": gate.created_at.isoformat(),
    }


def _gate_lines(gate: Mapping[str, Any]) -> list[str]:
    metrics = gate["metrics"]
    lines = [f"### {_cell(gate['corpus'])}, {_cell(gate['created_at'])}: {gate['verdict']}", ""]
    lines += [*(f"- {_cell(reason)}" for reason in gate["reasons"]), ""]
    rows = [
        (
            name,
            f"{before:.4f}",
            f"{metrics['candidate'][name]:.4f}",
            f"{uplift['low']:+.4f} to {uplift['high']:+.4f}",
        )
        for name, before in metrics["serving"].items()
        if (uplift := metrics["uplift"].get(name)) is not None
    ]
    return lines + _table(("metric", f"serving {gate['serving']}", "this", "interval of the difference"), rows)


def _fallen(one: Mapping[str, Any]) -> str:
    return (
        f"Worse than the model before it where {one['facet']} is {one['value']!r}: "
        f"{one['change']['mean']:+.4f} on {one['queries']} queries."
    )


def _flat(nested: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in nested.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(map(_cell, head))} |", "|---" * len(head) + "|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows), ""]


def _cell(value: object) -> str:
    text = "-" if value is None else " ".join(str(value).split())
    for special in "\\`*_[]<>|":
        text = text.replace(special, f"\\{special}")
    return text
