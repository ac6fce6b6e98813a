"""Every step of a promotion at which its process can die, and who is in charge then; see docs/operations.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

REPLICAS = 2


class InCharge(StrEnum):
    OLD = "old"
    NEW = "new"


@dataclass(frozen=True)
class Step:
    """A moment of a promotion across two replicas.

    Attributes:
        name: As the documents have it.
        in_charge: Which version answers when the process dies here.
        acknowledge: How many replicas load the candidate before it dies.
        follow: How many replicas move to the candidate after it was published.
    """

    name: str
    in_charge: InCharge
    acknowledge: int = REPLICAS
    follow: int = 0


STEPS = (
    Step("open, before its commit", InCharge.OLD, acknowledge=0),
    Step("open, after its commit", InCharge.OLD, acknowledge=0),
    Step("0 of 2 replicas have acknowledged", InCharge.OLD, acknowledge=0),
    Step("1 of 2 replicas have acknowledged", InCharge.OLD, acknowledge=1),
    Step("all replicas have acknowledged", InCharge.OLD),
    Step("publish, before its commit", InCharge.OLD),
    Step("publish, after its commit", InCharge.NEW),
    Step("alias, before it moves", InCharge.NEW),
    Step("alias, after it has moved", InCharge.NEW),
    Step("0 of 2 replicas have moved", InCharge.NEW),
    Step("1 of 2 replicas have moved", InCharge.NEW, follow=1),
    Step("call off, before its commit", InCharge.OLD, acknowledge=1),
    Step("call off, after its commit", InCharge.OLD, acknowledge=1),
)
