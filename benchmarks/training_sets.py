"""The data sets that training is measured on: one corpus each, with judged queries in three splits apart."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.plan import SEED, SetSizes, TrainingPlan
from embedloop.demo import ontology
from embedloop.demo.ontology import Case
from embedloop.errors import InvalidInput
from embedloop.readers import read_documents, read_judgments
from embedloop.records.labels import Split
from embedloop.text.chunking import embedding_text
from embedloop.text.normalise import query_key
from training.gate import gate_pool

TRAIN, DEV, TEST = Split.TRAIN, Split.DEV, Split.GOLDEN
SPLITS = (TRAIN, DEV, TEST)

Qrels = Mapping[str, Mapping[str, int]]
"""Query key -> document id -> grade."""

HPO = "hpo"
# How each set keeps its splits apart, as its makers or `embedloop.demo.ontology` do it.
SPLIT_BY = {
    HPO: "by term: no term has a query in two splits",
    "medquad": "by topic: no document, topic or question is in two splits",
    "legal_contracts": "by contract: no contract or policy is in two splits; its kinds of clauses are in all",
    "scifact": "by claim, as in BEIR: a test claim may have an abstract that a training claim has too",
    "xquad_hi": "by article: no paragraph is in two splits",
    "hinglish_top": "by request: no English request and no query is in two splits",
}
# On which the training benchmark compares recipes; the base model reads no word of `xquad_hi`.
NAMES = (HPO, "medquad", "legal_contracts", "scifact", "hinglish_top")
# Of another field each: it tells what was forgotten that the general set cannot tell, whose kind is trained on.
ELSEWHERE = {name: "scifact" if name == HPO else HPO for name in NAMES}


@dataclass(frozen=True, slots=True)
class RankingSet:
    """Documents and judged queries.

    Attributes:
        name: Of the set.
        documents: Document id -> text, as it is embedded.
        queries: Query key -> text, of all splits.
        qrels: Split -> judgments of its queries; each has a relevant document.
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[Split, Qrels]

    def answers(self, split: Split) -> dict[str, set[str]]:
        """Query key -> ids of its relevant documents."""
        return {
            key: {document for document, grade in grades.items() if grade > 0}
            for key, grades in self.qrels[split].items()
        }

    def relevant(self, split: Split) -> set[str]:
        """Ids of all relevant documents of a split."""
        return set().union(*self.answers(split).values())

    def unseen(self) -> frozenset[str]:
        """Keys of the test queries none of whose relevant documents is one of a training or dev query."""
        seen = self.relevant(TRAIN) | self.relevant(DEV)
        return frozenset(key for key, documents in self.answers(TEST).items() if not documents & seen)


def load(name: str, folder: Path, sizes: SetSizes) -> RankingSet:
    """Reads a set and takes what is wanted of it, the same each time.

    Args:
        name: One of `NAMES`.
        folder: Holds a BEIR folder of the set's name; the ontology comes with a package.
        sizes: How much to take.

    Raises:
        InvalidInput: The set is not there, is not what it should be, or leaks.
        MissingExtra: The package with the ontology is not installed.
    """
    whole = _hpo(sizes.passages) if name == HPO else _beir(name, folder / name)
    taken = _sample(whole, sizes)
    check_apart(taken)
    return taken


def load_elsewhere(name: str, folder: Path, plan: TrainingPlan) -> RankingSet:
    """Reads the set on which models are measured that were trained on `name`; see `load`."""
    other = ELSEWHERE[name]
    return load(other, folder, plan.elsewhere[other])


def check_apart(ranking: RankingSet) -> None:
    """Makes sure that every split has queries and that none is in two.

    Raises:
        InvalidInput: It is not so.
    """
    for split in SPLITS:
        if not ranking.qrels[split]:
            raise InvalidInput(f"{ranking.name} needs {split} queries, got 0")
    for one, other in ((TRAIN, DEV), (TRAIN, TEST), (DEV, TEST)):
        both = ranking.qrels[one].keys() & ranking.qrels[other].keys()
        if both:
            texts = sorted(ranking.queries[key] for key in both)
            raise InvalidInput(
                f"{ranking.name}: no query may be in {one} and in {other}, got {len(both)}: {texts[:3]}"
            )


def _hpo(terms: int | None) -> RankingSet:
    """Terms are documents, synonyms queries; a tenth of the training terms chooses checkpoints."""
    vocabulary = ontology.build_vocabulary(
        ontology.ontology_file(), terms=terms, test_cap=10**9, golden_cap=0, seed=SEED
    )
    chosen = ontology.dev_terms(vocabulary.train, 0.1, SEED)
    cases: dict[Split, Sequence[Case]] = {
        TRAIN: [case for case in vocabulary.train if case.term_id not in chosen],
        DEV: [case for case in vocabulary.train if case.term_id in chosen],
        TEST: vocabulary.test,
    }
    return RankingSet(
        name=HPO,
        documents={term.term_id: embedding_text(term.name, term.definition) for term in vocabulary.terms},
        queries={query_key(case.query): case.query for part in cases.values() for case in part},
        qrels={
            split: {query_key(case.query): {case.term_id: 1} for case in part} for split, part in cases.items()
        },
    )


def _beir(name: str, folder: Path) -> RankingSet:
    if not folder.is_dir():
        raise InvalidInput(f"{name} is not there: {folder} must be a BEIR folder", field="data")
    documents = {
        one["id"]: embedding_text(one.get("title", ""), one.get("text", "")) for one in read_documents(folder)
    }
    queries: dict[str, str] = {}
    qrels: dict[Split, dict[str, dict[str, int]]] = {split: {} for split in SPLITS}
    for line in read_judgments(folder):
        if line["grade"] > 0 and line["document_id"] in documents:
            key = query_key(line["query"])
            queries.setdefault(key, line["query"])
            qrels[Split(line["split"])].setdefault(key, {})[line["document_id"]] = line["grade"]
    return RankingSet(name, documents, queries, _each_in_one(qrels))


def _each_in_one(qrels: Mapping[Split, Mapping[str, Mapping[str, int]]]) -> dict[Split, Qrels]:
    """A query that is worded alike in two splits stays where it is measured: test first, then dev."""
    taken: set[str] = set()
    kept: dict[Split, Qrels] = {}
    for split in reversed(SPLITS):
        kept[split] = {key: grades for key, grades in qrels[split].items() if key not in taken}
        taken |= kept[split].keys()
    return kept


def _sample(whole: RankingSet, sizes: SetSizes) -> RankingSet:
    wanted = {TRAIN: sizes.train, DEV: sizes.dev, TEST: sizes.test}
    qrels = {split: _some(whole.qrels[split], most) for split, most in wanted.items()}
    taken = replace(whole, qrels=qrels)
    relevant: set[str] = set().union(*(taken.relevant(split) for split in SPLITS))
    passages = len(whole.documents) if sizes.passages is None else sizes.passages
    pool = gate_pool(relevant, list(whole.documents), passages, SEED)
    keys: Collection[str] = set().union(*(part.keys() for part in qrels.values()))
    return replace(
        taken,
        documents={identity: whole.documents[identity] for identity in pool},
        queries={key: whole.queries[key] for key in sorted(keys)},
    )


def _some(qrels: Qrels, most: int | None) -> Qrels:
    keys = sorted(qrels)
    if most is not None and most < len(keys):
        keys = sorted(random.Random(SEED).sample(keys, most))
    return {key: qrels[key] for key in keys}
