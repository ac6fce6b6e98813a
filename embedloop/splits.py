"""Which split a query gets at first sight, and keeps for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from embedloop.catalog import documents, feedback
from embedloop.catalog import splits as catalog
from embedloop.policy import Splits
from embedloop.records.documents import Corpus
from embedloop.records.labels import Split
from embedloop.text.duplicates import shingles
from embedloop.text.near_duplicates import FEWEST_RUNS, NearDuplicates, keys
from embedloop.text.normalise import query_key
from embedloop.text.strata import UNKNOWN, form_of, length_of, topic_of

# Multiples of the golden section fall evenly into [0, 1) at every moment (additive recurrence, Weyl 1916).
_STEP = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Group:
    """What queries go together by: the document they ask for, or a text that is none (`kind: text`)."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class SeenQuery:
    """A query as it was seen, with what is relevant to it, and the split that its giver wants."""

    query: str
    group: Group
    wanted: Split | None = None

    @property
    def key(self) -> str:
        return query_key(self.query)


def assign_split(corpus: str, stratum: str, number: int, splits: Splits) -> Split:
    """The split of the `number`-th group (from 0) of a stratum.

    Of any ten groups that follow one another in a stratum, a share of 0.1 takes one: small strata too are
    in every split, as far as their size allows. Where the sequence begins depends on the stratum's name.

    >>> [assign_split("c", "s", n, Splits(golden=0.2, dev=0)) for n in range(100)].count(Split.GOLDEN)
    20
    """
    digest = hashlib.blake2b(json.dumps([corpus, stratum]).encode(), digest_size=8).digest()
    position = (int.from_bytes(digest, "big") / 2**64 + number * _STEP) % 1.0
    if position < splits.golden:
        return Split.GOLDEN
    return Split.DEV if position < splits.golden + splits.dev else Split.TRAIN


def fix(
    connection: Connection, corpus: Corpus, seen: Sequence[SeenQuery], *, splits: Splits | None = None
) -> dict[str, Split]:
    """Gives new queries their split for ever; one that has a split keeps it, whatever is wanted now.

    A new query gets the split that is wanted; else that of a near duplicate; else that of the other queries
    about the same document, so that training never sees a golden query's answer; else its stratum's turn. A
    wanted split binds that query alone: whoever names splits decides about each.

    Args:
        connection: A write transaction.
        corpus: Whose queries they are.
        seen: Queries in order of who decides: of several with one key the first does.
        splits: Other shares than the policy's.

    Returns:
        The split of each query key.
    """
    shares = splits or corpus.policy.splits
    first: dict[str, SeenQuery] = {}
    for one in seen:
        first.setdefault(one.key, one)
    catalog.restore_text(connection, corpus.name, {key: one.query for key, one in first.items()})
    known = feedback.splits_of(connection, corpus.name, first)
    new = {key: one for key, one in first.items() if key not in known}
    if not new:
        return known
    bands = _bands(new)
    chosen = _chosen(connection, corpus, new, bands, shares)
    rows = {key: (one.query, chosen[key]) for key, one in new.items()}
    feedback.fix_splits(connection, corpus.name, rows)
    catalog.add_bands(connection, corpus.name, bands)
    # Read again: another transaction may have been first.
    return feedback.splits_of(connection, corpus.name, first)


def _chosen(
    connection: Connection,
    corpus: Corpus,
    new: Mapping[str, SeenQuery],
    bands: Mapping[str, Sequence[str]],
    shares: Splits,
) -> dict[str, Split]:
    alike = NearDuplicates(shares.similarity)
    chosen: dict[str, Split] = {}
    for key, query, split in catalog.sharing_bands(connection, corpus.name, bands):
        alike.add(key, query)
        chosen[key] = split
    undecided: dict[str, Group] = {}
    leaders: dict[str, str] = {}
    for key, one in new.items():
        leader = alike.like(one.query) if one.wanted is None and bands.get(key) else None
        if one.wanted is not None:
            chosen[key] = one.wanted
        elif leader is not None:
            leaders[key] = leader
        else:
            undecided[key] = one.group
        if bands.get(key):
            alike.add(key, one.query)
    groups = _splits_of_groups(connection, corpus, new, undecided, shares)
    chosen |= {key: groups[group] for key, group in undecided.items()}
    for key, leader in leaders.items():
        chosen[key] = chosen[leader]
    return chosen


def _bands(new: Mapping[str, SeenQuery]) -> dict[str, list[str]]:
    """Buckets of the queries that are long enough to have near duplicates with another key."""
    runs = {key: shingles(one.query) for key, one in new.items()}
    return {key: keys(found) for key, found in runs.items() if len(found) >= FEWEST_RUNS}


def _splits_of_groups(
    connection: Connection,
    corpus: Corpus,
    new: Mapping[str, SeenQuery],
    undecided: Mapping[str, Group],
    shares: Splits,
) -> dict[Group, Split]:
    asked: dict[Group, str] = {}
    for key, group in undecided.items():
        asked.setdefault(group, new[key].query)
    known = catalog.groups(connection, corpus.name, [(g.kind, g.name) for g in asked])
    unseen = [group for group in asked if (group.kind, group.name) not in known]
    strata = _strata(connection, corpus, {group: asked[group] for group in unseen}, shares)
    counts = catalog.groups_by_stratum(connection, corpus.name, set(strata.values()))
    rows = []
    for group in unseen:
        stratum = strata[group]
        number = counts.get(stratum, 0)
        counts[stratum] = number + 1
        split = assign_split(corpus.name, stratum, number, shares)
        rows.append((group.kind, group.name, stratum, split))
    catalog.add_groups(connection, corpus.name, rows)
    known = catalog.groups(connection, corpus.name, [(g.kind, g.name) for g in asked])
    return {group: known[group.kind, group.name] for group in asked}


def _strata(
    connection: Connection, corpus: Corpus, queries: Mapping[Group, str], shares: Splits
) -> dict[Group, str]:
    wanted = [group.name for group in queries if group.kind == catalog.DOCUMENT]
    told = documents.lengths_and_metadata(connection, corpus.name, wanted)
    strata = {}
    for group, query in queries.items():
        topic, length = UNKNOWN, UNKNOWN
        if group.kind == catalog.DOCUMENT and group.name in told:
            characters, metadata = told[group.name]
            topic, length = topic_of(metadata, shares.topic), length_of(characters)
        strata[group] = "/".join((group.kind, topic, length, form_of(query)))
    return strata
