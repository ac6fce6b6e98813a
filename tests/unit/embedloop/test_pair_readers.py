from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from embedloop.errors import InvalidInput, MissingExtra, NotFound
from embedloop.pair_readers import Scores, read_labelled

PLAIN = Scores()


def read(folder: Path, name: str, content: str, scores: Scores = PLAIN) -> tuple[str, list[Any]]:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    labelled = read_labelled(file, scores)
    return labelled.kind, list(labelled.lines)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "pairs.jsonl",
            '{"anchor": "a", "positive": "p", "id": 7}\n\n{"anchor": "b", "positive": "q"}\n',
            [{"anchor": "a", "positive": "p"}, {"anchor": "b", "positive": "q"}],
        ),
        (
            "triplets.csv",
            "anchor,positive,negative\na,p,n\nb,q,\n",
            [{"anchor": "a", "positive": "p", "negatives": ["n"]}, {"anchor": "b", "positive": "q"}],
        ),
        (
            "mined.csv",
            "query,answer,negative_1,negative_10,negative_2\na,p,n1,n10,n2\n",
            [{"anchor": "a", "positive": "p", "negatives": ["n1", "n2", "n10"]}],
        ),
        (
            "lists.jsonl",
            '{"query": "a", "pos": ["p", "q"], "neg": ["n"], "split": "dev"}\n',
            [
                {"anchor": "a", "split": "dev", "positive": "p", "negatives": ["n"]},
                {"anchor": "a", "split": "dev", "positive": "q"},
            ],
        ),
        (
            "scored.tsv",
            "sentence1\tsentence2\tscore\na\tp\t0.5\na\tn\t0.49\n",
            [{"anchor": "a", "positive": "p"}, {"anchor": "a", "negatives": ["n"]}],
        ),
    ],
)
def test_columns_of_the_field_are_read(tmp_path: Path, name: str, content: str, expected: list[Any]) -> None:
    assert read(tmp_path, name, content) == ("pairs", expected)


def test_scores_are_read_on_their_scale(tmp_path: Path) -> None:
    content = (
        '{"sentence1": "a", "sentence2": "p", "label": 4}\n{"sentence1": "a", "sentence2": "n", "label": 3}\n'
    )
    _, lines = read(tmp_path, "sts.jsonl", content, Scores(scale=5, positive_from=0.8))
    assert lines == [{"anchor": "a", "positive": "p"}, {"anchor": "a", "negatives": ["n"]}]


def test_documents_are_judged(tmp_path: Path) -> None:
    content = "query,document_id,grade,split\nnose,d1,2,golden\neye,d2,0,\n"
    assert read(tmp_path, "labels.csv", content) == (
        "judgments",
        [
            {"query": "nose", "document_id": "d1", "grade": 2, "split": "golden"},
            {"query": "eye", "document_id": "d2", "grade": 0},
        ],
    )


def test_document_without_grade_is_relevant(tmp_path: Path) -> None:
    _, lines = read(tmp_path, "labels.jsonl", '{"query": "nose", "document_id": "d1"}')
    assert lines == [{"query": "nose", "document_id": "d1", "grade": 1}]


def test_gzipped_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"anchor": "a", "positive": "p"}\n'))
    assert list(read_labelled(file, Scores()).lines) == [{"anchor": "a", "positive": "p"}]


def test_columns_of_a_dataset_are_read_from_parquet(tmp_path: Path) -> None:
    rows = {"anchor": ["a", "b"], "positive": ["p", "q"], "negative": [["n", "m"], None]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "pairs.parquet")
    labelled = read_labelled(tmp_path / "pairs.parquet", PLAIN)
    assert list(labelled.lines) == [
        {"anchor": "a", "positive": "p", "negatives": ["n", "m"]},
        {"anchor": "b", "positive": "q"},
    ]


def test_missing_pyarrow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pip install pyarrow"):
        read_labelled(tmp_path / "x.parquet", PLAIN)


def test_qrels_of_a_beir_folder_are_judgments(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "text": "t"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "nose"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    labelled = read_labelled(tmp_path, PLAIN)
    assert labelled.kind == "judgments"
    assert list(labelled.lines) == [{"query": "nose", "document_id": "d1", "grade": 2, "split": "golden"}]


def test_folder_without_qrels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must be a BEIR folder"):
        read_labelled(tmp_path, PLAIN)


@pytest.mark.parametrize(
    ("name", "content", "told", "field"),
    [
        ("x.jsonl", '{"a": 1}', "columns must be", "path"),
        ("x.jsonl", '{"query": "q"}', "columns must be", "path"),
        ("x.jsonl", "", "no line", "path"),
        ("x.jsonl", "[1]", "x.jsonl:1: must be an object", "path"),
        ("x.jsonl", "{", "x.jsonl:1: not JSON", "path"),
        ("x.txt", "a", "path must be", "path"),
        ("x.parquet", "PAR1 and no more", "cannot be read as Parquet", "path"),
        ("x.csv", "anchor,positive\na\n", "as many cells", "path"),
        ("x.csv", "anchor,positive\na,\n", "positive must not be empty", "positive"),
        ("x.jsonl", '{"anchor": "a", "positive": 7}', "x.jsonl:1: positive must be a text", "positive"),
        ("x.jsonl", '{"anchor": "a", "positive": "p", "neg": ["n", null]}', "neg must be", "neg"),
        ("x.jsonl", '{"anchor": " ", "positive": "p"}', "anchor must be", "anchor"),
        ("x.jsonl", '{"anchor": "a", "positive": "p", "split": 3}', "split must be", "split"),
        ("x.jsonl", '{"query": "a", "document_id": "d", "grade": 9}', "grade must be 0..3", "grade"),
        ("x.jsonl", '{"query": "a", "document_id": "d", "grade": true}', "grade must be 0..3", "grade"),
        ("x.csv", "sentence1,sentence2,score\na,p,5\n", "score must be 0..1", "score"),
        ("x.csv", "sentence1,sentence2,score\na,p,nan\n", "score must be 0..1", "score"),
        ("x.jsonl", '{"sentence1": "a", "sentence2": "p", "score": true}', "score must be 0..1", "score"),
    ],
)
def test_wrong_file_is_refused_by_line_and_field(
    tmp_path: Path, name: str, content: str, told: str, field: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as refused:
        read(tmp_path, name, content)
    assert refused.value.field == field


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_labelled(tmp_path / "nothing.jsonl", Scores())
