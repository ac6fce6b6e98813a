from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.plan import SetSizes, TrainingPlan
from benchmarks.training_sets import DEV, NAMES, SPLIT_BY, TEST, TRAIN, load
from embedloop.errors import InvalidInput

Lines = Sequence[tuple[str, str]]


def write_set(
    folder: Path, queries: Mapping[str, str], qrels: Mapping[str, Lines], documents: int = 12
) -> Path:
    """A BEIR folder `scifact` of documents d0, d1, ..., with (query id, document id) judgments by split."""
    target = folder / "scifact"
    (target / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{number}", "title": f"T{number}", "text": "x"} for number in range(documents)]
    (target / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    lines = [json.dumps({"_id": identity, "text": text}) for identity, text in queries.items()]
    (target / "queries.jsonl").write_text("\n".join(lines))
    for split, judged in qrels.items():
        rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in judged)]
        (target / "qrels" / f"{split}.tsv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    queries = {"a": "gout", "b": "a red eye", "c": "fever", "d": "cough", "e": "Cough!"}
    qrels = {
        "train": [("a", "d0"), ("a", "d1"), ("d", "d2")],
        "dev": [("b", "d3")],
        "test": [("c", "d1"), ("e", "d4")],
    }
    return write_set(tmp_path, queries, qrels)


def test_query_that_is_worded_alike_in_two_splits_is_a_test_query(folder: Path) -> None:
    found = load("scifact", folder, SetSizes())
    assert {split: len(found.qrels[split]) for split in (TRAIN, DEV, TEST)} == {TRAIN: 1, DEV: 1, TEST: 2}
    assert found.queries.keys() == {key for split in found.qrels.values() for key in split}
    assert found.relevant(TEST) == {"d1", "d4"}


def test_test_queries_of_unseen_documents_leave_out_those_that_training_has(folder: Path) -> None:
    found = load("scifact", folder, SetSizes())
    assert [found.queries[key] for key in found.unseen()] == ["Cough!"]


def test_small_pool_holds_every_judged_document_and_is_the_same_each_time(folder: Path) -> None:
    first, again = (load("scifact", folder, SetSizes(passages=7)) for _ in range(2))
    assert first == again
    assert len(first.documents) == 7
    assert {"d0", "d1", "d3", "d4"} <= first.documents.keys()
    assert first.documents["d0"] == "T0\nx"


def test_fewer_queries_need_fewer_documents(folder: Path) -> None:
    found = load("scifact", folder, SetSizes(passages=0, test=1))
    assert len(found.qrels[TEST]) == 1
    assert found.documents.keys() == set().union(*(found.relevant(split) for split in (TRAIN, DEV, TEST)))


def test_set_that_is_not_there_is_told_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"medquad is not there: .*medquad must be a BEIR folder"):
        load("medquad", tmp_path, SetSizes())


def test_set_without_dev_queries_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, {"a": "gout", "b": "fever"}, {"train": [("a", "d0")], "test": [("b", "d1")]})
    with pytest.raises(InvalidInput, match="scifact needs dev queries, got 0"):
        load("scifact", tmp_path, SetSizes())


def test_ontology_shares_no_term_between_its_splits() -> None:
    found = load("hpo", Path("unused"), SetSizes(passages=600))
    parts = [found.relevant(split) for split in (TRAIN, DEV, TEST)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert len(found.documents) == 600
    assert found.unseen() == found.qrels[TEST].keys()


@pytest.mark.parametrize("plan", [TrainingPlan(), TrainingPlan.quick(), TrainingPlan.whole()])
def test_every_plan_has_sizes_for_every_set(plan: TrainingPlan) -> None:
    assert plan.sizes.keys() == set(NAMES) < SPLIT_BY.keys()
