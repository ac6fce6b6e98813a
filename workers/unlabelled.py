"""Pairs that need no labels: read from the corpus, a glossary or a language model, as the policy says."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedloop.catalog import documents, splits
from embedloop.catalog.database import Database
from embedloop.corpus import passages_of
from embedloop.jobs import Lease
from embedloop.records.documents import Corpus, Document
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.records.versions import IndexVersion
from embedloop.removed import Removed
from embedloop.text.chunking import Chunker
from training.unlabelled.glossary import glossary_offers, read_glossary
from training.unlabelled.passages import Chosen, CutDocument, Offer, choose
from training.unlabelled.shares import document_split
from training.unlabelled.structure import structure_offers
from workers.parts import Parts
from workers.reading import read_documents

# Enough for an interval of a few hundredths, and no more than what golden sets usually have.
MOST_HELD_OUT = 500

PairKey = tuple[str, str]


@dataclass(frozen=True)
class Source:
    """A corpus as pairs are made of it: its live documents with their splits, and how they are cut.

    `split_of` knows the live documents; `golden` ones train nothing. What was removed is not read.
    """

    parts: Parts
    corpus: Corpus
    chunker: Chunker
    split_of: Mapping[str, Split]
    removed: Removed
    lease: Lease

    def ids(self, wanted: Collection[Split], most: int, seed: int) -> list[str]:
        """A sample of the documents of these splits, the same each time."""
        found = sorted(identity for identity, split in self.split_of.items() if split in wanted)
        return random.Random(seed).sample(found, min(most, len(found)))

    def documents(self, ids: Sequence[str]) -> Iterator[Document]:
        """Reads documents in their order, without those that went meanwhile or must not train."""
        read = read_documents(self.parts, self.corpus, ids, self.lease)
        return (document for document in read if not self.removed.has_document(document))

    def cut(self, document: Document) -> CutDocument:
        passages = [passage.text for passage in passages_of(document, self.chunker)]
        return CutDocument(document.document_id, document.title, document.text, passages)

    def first_passage(self, text: str) -> str:
        """The first passage of a text, as a document without a title is cut."""
        chunks = self.chunker.split("", text)
        return chunks[0].text if chunks else ""

    def offers(self, ids: Sequence[str]) -> list[Offer]:
        """What the structure of these documents offers."""
        settings = self.corpus.policy.training.structure
        return [
            offer
            for document in self.documents(ids)
            for offer in structure_offers(self.cut(document), settings, self.first_passage)
        ]


@dataclass
class Found:
    """Pairs of all sources, and what each source found and left out."""

    pairs: list[TrainingPair] = field(default_factory=list)
    report: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, source: str, chosen: Chosen, told: Mapping[str, int]) -> None:
        self.pairs += chosen.pairs
        self.report[source] = {**told, "pairs": len(chosen.pairs), **chosen.dropped}

    @property
    def keys(self) -> set[PairKey]:
        return {(pair.anchor_key, pair.document_id) for pair in self.pairs}


def source_of(
    parts: Parts, corpus: Corpus, serving: IndexVersion, removed: Removed, lease: Lease, *, hold_out: bool
) -> Source:
    """The corpus with its serving version's chunking; `split_of_documents` says what `hold_out` does."""
    chunker = parts.chunker(serving, parts.model(serving.model_id))
    split_of = split_of_documents(parts.database, corpus, hold_out=hold_out)
    return Source(parts, corpus, chunker, split_of, removed, lease)


def split_of_documents(database: Database, corpus: Corpus, *, hold_out: bool) -> dict[str, Split]:
    """Live document -> its split.

    A document that queries ask for has theirs, others one by their id. Unless a share is held out, only those
    whose own queries are golden keep away from training.
    """
    with database.read() as connection:
        live = documents.live_ids(connection, corpus.name)
        known = splits.groups(connection, corpus.name, [(splits.DOCUMENT, one) for one in live])
    found: dict[str, Split] = {}
    for one in live:
        split = known.get((splits.DOCUMENT, one))
        if split is None:
            drawn = document_split(corpus.name, one, corpus.policy.splits)
            split = Split.TRAIN if drawn is Split.GOLDEN and not hold_out else drawn
        found[one] = split
    return found


def pairs_without_labels(source: Source, taken: Collection[PairKey], generate: Callable[[], Any]) -> Found:
    """The pairs of the sources that `policy.training.sources` names beside judgments.

    Args:
        source: The corpus.
        taken: (anchor key, document id) of pairs that there are already.
        generate: Asks for the offers of the language model, and what it tells of them; called where wanted.
    """
    training = source.corpus.policy.training
    found = Found()
    if "structure" in training.sources:
        ids = source.ids((Split.TRAIN, Split.DEV), training.structure.max_pairs, training.structure.seed)
        chosen = choose(source.offers(ids), source.split_of, taken, training.structure.max_pairs)
        found.add("structure", chosen, {"documents": len(ids)})
    if "glossary" in training.sources and training.glossary is not None:
        path = Path(training.glossary)
        entries = read_glossary(path)
        chosen = choose(glossary_offers(entries, path.name), {}, {*taken, *found.keys})
        found.add("glossary", chosen, {"entries": len(entries)})
    if "generated" in training.sources:
        offers, told = generate()
        found.add("generated", choose(offers, source.split_of, {*taken, *found.keys}), told)
    return found


def held_out_pairs(source: Source) -> list[TrainingPair]:
    """One pair of each document that trains nothing, at most 500: what measures a model without labels."""
    settings = source.corpus.policy.training.structure
    ids = source.ids((Split.GOLDEN,), MOST_HELD_OUT, settings.seed)
    chosen = choose(source.offers(ids), source.split_of).pairs
    of_document: dict[str, list[TrainingPair]] = {}
    for pair in chosen:
        of_document.setdefault(pair.document_id, []).append(pair)
    generator = random.Random(settings.seed)
    return [generator.choice(of_document[one]) for one in sorted(of_document)]
