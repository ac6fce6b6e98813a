"""What a demo of a given size does, and what it must achieve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from embedloop.errors import InvalidInput

CORPUS = "hpo"
LEAST_TERMS = 100

# The recipe of the demo's fine-tune; everything else is the policy's default. Negatives within the batch
# do most of the work, and a mined one beside them would double the time.
TRAINING: dict[str, Any] = {
    "epochs": 2.0,
    "hard_negatives": 0,
    "evaluations": 2,
    # Ten minutes are for the loop: what is forgotten of other fields is neither held back nor measured.
    "transfer": None,
    "merge_alphas": [],
}

_PROVING_TERMS = 2000
_VOTED_TERMS = 6000
_VOTED_HIT5 = 0.06
# What plain fine-tuning on all labels gained on this vocabulary.
_LABELLED_TERMS = 6000
_LABELLED_AIMS = {"hit@5": 0.119, "ndcg@10": 0.108}


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """Sizes, seeds and aims of one demo.

    Attributes:
        terms: Terms of the ontology to ingest; None takes all.
        labels: Training labels are imported, instead of people voting.
        seed: Of the vocabulary, the people and the intervals.
        people: Simulated users.
        threads: Searches and votes at once.
        test_cap: Most test queries.
        golden_cap: Most golden queries.
        dev_share: Share of the training queries that choose the checkpoint.
        probes: Fixed queries whose answers are compared, passage by passage, during the swap.
        searches_per_second: Pace of the background searcher.
        min_pairs: Least training pairs for a cycle.
        gate_queries: Least golden queries for the gate.
        proves_uplift: The gain must be beyond chance; otherwise the gate is left open, because so few
            queries could prove nothing, and the demo shows that the loop turns.
        aims: Metric -> least uplift.
    """

    terms: int | None
    labels: bool
    seed: int
    people: int
    threads: int
    test_cap: int
    golden_cap: int
    dev_share: float
    probes: int
    searches_per_second: float
    min_pairs: int
    gate_queries: int
    proves_uplift: bool
    aims: dict[str, float]

    @classmethod
    def of(cls, terms: int, full: bool, labels: bool) -> DemoPlan:
        """Scale a demo to its number of terms.

        Raises:
            InvalidInput: `terms` is too small for training, golden and test queries.
        """
        if not full and terms < LEAST_TERMS:
            raise InvalidInput(f"terms must be at least {LEAST_TERMS}, got {terms}", field="terms")
        proves = full or terms >= _PROVING_TERMS
        aims: dict[str, float] = {}
        if labels and not full and terms == _LABELLED_TERMS:
            aims = dict(_LABELLED_AIMS)
        elif not labels and (full or terms >= _VOTED_TERMS):
            aims = {"hit@5": _VOTED_HIT5}
        return cls(
            terms=None if full else terms,
            labels=labels,
            seed=13,
            people=40 if proves else 10,
            threads=8,
            test_cap=800,
            golden_cap=400,
            dev_share=0.08,
            probes=40 if proves else 15,
            searches_per_second=10.0,
            min_pairs=50 if proves else 10,
            gate_queries=30 if proves else 5,
            proves_uplift=proves,
            aims=aims,
        )

    @property
    def policy(self) -> dict[str, Any]:
        """The corpus' policy at its creation; no cycle starts by itself before `trigger` is changed."""
        return {
            "splits": {"golden": 0.0, "dev": self.dev_share},
            "trigger": {"new_feedback": None, "min_pairs": self.min_pairs},
            # Labels leave the time that searching and voting takes, and need no second look for wrong ones.
            "training": {**TRAINING, "hard_negatives": 1} if self.labels else TRAINING,
            "gate": {
                "metric": "ndcg@10",
                "min_uplift": 0.0 if self.proves_uplift else -1.0,
                "min_queries": self.gate_queries,
                "pool_size": 2000,
                "general": "none",
            },
        }

    def trigger(self, new_feedback: int) -> dict[str, Any]:
        """The part of the policy that lets a cycle start after so many votes."""
        return {"trigger": {"new_feedback": new_feedback, "min_pairs": self.min_pairs}}
