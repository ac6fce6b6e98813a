"""Roads that differ in what trains: pairs from the documents' structure, and variants of labelled queries."""

from __future__ import annotations

from collections import Counter

from benchmarks.plan import SEED
from benchmarks.roads_measure import Reached
from benchmarks.roads_walk import TUNED, Walk
from embedloop.recipe.augmentation import AugmentationKind
from embedloop.recipe.sources import Structure
from embedloop.records.labels import Split
from training.augmentation.abbreviations import Abbreviations, AbbreviationTable
from training.augmentation.augment import Augmenter, augment
from training.augmentation.spelling import Misspelling
from training.unlabelled.passages import CutDocument, choose
from training.unlabelled.structure import structure_offers

SHARE = 0.3
# Of the documents, so many choose the checkpoint and the mixture.
DEV_EVERY = 10


def by_structure(walk: Walk) -> Reached:
    """Titles and sentences ask for their own documents; no label is used."""
    documents = [_cut(identity, text) for identity, text in sorted(walk.ranking.documents.items())]
    settings = Structure(seed=SEED)
    offers = [offer for one in documents for offer in structure_offers(one, settings, lambda text: text)]
    dev = {one.document_id: Split.DEV for one in documents[::DEV_EVERY]}
    chosen = choose(offers, dev)
    reached = walk.by_recipe("structure", TUNED, list(chosen.pairs))
    kinds = Counter(pair.lineage[0].split(":")[1] for pair in chosen.pairs)
    return walk.with_told(reached, {"pairs": dict(sorted(kinds.items())), "dropped": dict(chosen.dropped)})


def by_augmentation(walk: Walk) -> Reached:
    """Labelled pairs, and for a share of them one misspelt and one with an abbreviation written otherwise."""
    table = AbbreviationTable(walk.ranking.documents.values())
    makers: dict[AugmentationKind, Augmenter] = {
        "abbreviations": Abbreviations(table.meanings),
        "spelling": Misspelling(),
    }
    made = augment(walk.labelled, makers, SHARE, SEED)
    reached = walk.by_recipe("augmentation", TUNED, [*walk.labelled, *made.pairs])
    return walk.with_told(reached, {"augmented": dict(made.told)})


def _cut(identity: str, text: str) -> CutDocument:
    """The first line is the title, where there are more."""
    title, _, body = text.partition("\n")
    return CutDocument(identity, title, body, [body]) if body else CutDocument(identity, "", text, [text])
