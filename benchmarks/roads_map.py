"""Roads that move queries alone: maps learnt from labels, and a bridge from a tuned model to the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.plan import SEED
from benchmarks.roads_measure import Clock, Reached, Served, reached
from benchmarks.roads_walk import Walk
from embedloop.encoder import Encoder
from embedloop.query_map import MappedEncoder, QueryMap
from embedloop.recipe.query_map import MapKind, QueryMapSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from training.bridge import fit_bridge
from training.map_kinds import Pairs
from training.query_map import fit_query_map

# As many as a job takes.
BRIDGE_TEXTS = 3000


def by_map(walk: Walk, kind: MapKind) -> Reached:
    """A map over the base model's vectors; what is timed is the queries' encoding and the fit."""
    base, clock = walk.base, Clock()
    pairs = {split: _pairs(base, walk.labelled, split) for split in (Split.TRAIN, Split.DEV)}
    settings = QueryMapSettings(kind=kind)
    fitted = fit_query_map(pairs[Split.TRAIN], settings, seed=SEED, dev=pairs[Split.DEV])
    told = {"query_map": {"kind": kind, **fitted.to_json()}}
    return reached(_moved(base, base.encoder, fitted.query_map), walk.ranking, clock.seconds(), told)


def by_bridge(walk: Walk) -> Reached:
    """The tuned model's queries over the base model's passages."""
    new, old = walk.tuned_served, walk.base
    clock = Clock()
    rows = np.random.default_rng(SEED).permutation(len(old.encoded.ids))[:BRIDGE_TEXTS]
    bridge = fit_bridge(new.encoded.vectors[rows], old.encoded.vectors[rows], seed=SEED)
    encoded_ms = new.passage_cpu_ms * len(rows)
    spent = walk.tuned.cpu_seconds + clock.seconds() + encoded_ms / 1000
    served = _moved(old, new.encoder, bridge.query_map)
    return reached(served, walk.ranking, round(spent, 2), {"bridge": bridge.to_json()})


def _pairs(base: Served, pairs: Sequence[TrainingPair], split: Split) -> Pairs:
    chosen = [pair for pair in pairs if pair.split is split]
    rows = {document: row for row, document in enumerate(base.encoded.ids)}
    return Pairs(
        base.encoder.encode_queries([pair.anchor for pair in chosen]),
        base.encoded.vectors[[rows[pair.document_id] for pair in chosen]],
        [pair.document_id for pair in chosen],
    )


def _moved(passages: Served, queries: Encoder, query_map: QueryMap) -> Served:
    encoder = MappedEncoder(passages.encoder, queries, query_map)
    return replace(passages, encoded=replace(passages.encoded, encoder=encoder))
