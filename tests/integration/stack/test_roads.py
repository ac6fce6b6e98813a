"""Roads to a better vector that no other test of the stack goes: job, gate, index version, swap, search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from embedloop.client import Client
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, succeeded

SHORT: dict[str, Any] = {"batch_size": 8, "max_steps": 2}
WORDS: dict[str, Any] = {"dimension": 16, "min_count": 1}
ROADS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "tsdae and a student": (
        {"adaptation": {"objective": "tsdae", **SHORT}, "student": {"layers": 1, "epochs": 1, "max_texts": 10}},
        ["adaptation", "student"],
    ),
    "simcse, a glossary and variants of queries": (
        {
            "adaptation": {"objective": "simcse", **SHORT},
            "sources": ["judgments", "structure", "glossary"],
            "augmentation": {
                "kinds": ["synonyms", "abbreviations", "spelling"],
                "share": 1.0,
                "wordnet": None,
            },
        },
        ["adaptation"],
    ),
    "aligned terms": (
        {"adaptation": {"objective": "align", "new_terms": 50, "min_documents": 2, **SHORT}},
        ["adaptation"],
    ),
    "fasttext": ({"from_scratch": {"method": "fasttext", **WORDS}}, ["from_scratch"]),
    "word2vec": ({"from_scratch": {"method": "word2vec", **WORDS}}, ["from_scratch"]),
}


@pytest.fixture
def glossary(tmp_path: Path) -> str:
    """Terms as their makers explain them, with the names that people give them."""
    lines = [
        {"term": term, "definition": f"{term}, also called {asked[0]}", "synonyms": list(asked[1:])}
        for term, asked in clinic.TERMS.items()
    ]
    path = tmp_path / "glossary.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("road", ROADS)
def test_road_passes_the_gate_and_serves(
    client: Client, new_corpus: NewCorpus, glossary: str, road: str
) -> None:
    recipe, steps = ROADS[road]
    name = new_corpus(training={**recipe, "glossary": glossary}, gate={"general": "none"})
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)]
    assert list(client.bulk_judgments(name, lines))[-1]["summary"]["refused"] == 0
    result = succeeded(client, client.submit_job("cycle", name))["result"]
    assert result["promoted"] is True
    model = client.model(result["model_version"])
    assert [one["step"] for one in model["metrics"]["course"]] == steps
    answer = client.search(name, "epistaxis", top_k=3)
    assert (answer.model_version, answer.index_version) == (model["id"], result["index_version"])
    assert answer.results[0].document_id == "d00"
