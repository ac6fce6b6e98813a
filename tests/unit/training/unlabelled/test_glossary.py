from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedloop.errors import TrainingFailed
from training.unlabelled.glossary import Entry, glossary_offers, read_glossary

MEANING = "blood pressure that is too high"
PRESSURE = {"term": "hypertension", "definition": MEANING, "synonyms": ["HTN", "high BP"]}


def written(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_jsonl_and_csv_say_the_same(tmp_path: Path) -> None:
    lines = written(tmp_path / "g.jsonl", json.dumps(PRESSURE) + "\n\n")
    table = written(
        tmp_path / "g.csv",
        f"synonyms,term,definition\nHTN;high BP,hypertension,{MEANING}\n",
    )
    (entry,) = read_glossary(lines)
    assert entry == Entry(1, "hypertension", "blood pressure that is too high", ("HTN", "high BP"))
    (same,) = read_glossary(table)
    assert (same.term, same.definition, same.synonyms) == (entry.term, entry.definition, entry.synonyms)


def test_term_asks_for_its_definition_and_synonyms_for_both(tmp_path: Path) -> None:
    entry = Entry(7, "hypertension", "blood pressure that is too high", ("HTN", "Hypertension"))
    term, synonym = glossary_offers([entry], "g.csv")
    assert (term.anchor, term.positive) == ("hypertension", "blood pressure that is too high")
    assert (synonym.anchor, synonym.positive) == ("HTN", "hypertension\nblood pressure that is too high")
    assert {term.source, synonym.source} == {"glossary:g.csv:7"}
    assert term.document_id.startswith("text:")


@pytest.mark.parametrize(
    "line",
    [
        "secret",
        '["secret"]',
        '{"term": "secret"}',
        '{"term": "secret", "definition": " "}',
        '{"term": 1, "definition": "secret"}',
        '{"term": "secret", "definition": "x", "synonyms": "abc"}',
        '{"term": "secret", "definition": "x", "synonyms": [""]}',
    ],
)
def test_line_that_is_no_entry_is_refused_by_number_and_not_shown(line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "g.jsonl", json.dumps(PRESSURE) + f"\n{line}\n")
    with pytest.raises(TrainingFailed, match="line 2") as refusal:
        read_glossary(path)
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize("header", ["", "term,meaning\na,b\n"])
def test_csv_without_its_columns_is_refused(header: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="columns term and definition"):
        read_glossary(written(tmp_path / "g.csv", header))


def test_file_that_is_missing_is_told_by_its_field(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"training\.glossary: .*no such file"):
        read_glossary(tmp_path / "missing.csv")
