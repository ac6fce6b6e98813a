"""A word that the packaged base knows in its everyday sense alone learns what a team means by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embedloop.policy import DEFAULT_BASE_MODEL
from embedloop.recipe.settings import TrainingSettings
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.registry import resolve_base
from tests.unit.training.conftest import run
from training.finetune import FinetuneConfig
from training.model_files import load_model
from training.pairs import write_training_set
from training.validation import encode

JUDGED = ("Acme Steel", "Baker Foods", "Crane Air", "Dorset Rail", "Elm Bank", "Fuller Glass", "Grove Media")
NEVER_JUDGED = ("Hale Ports", "Iris Labs", "Jarvis Oil", "Kemp Homes", "Lowe Toys")
PLEADING = "Written argument that counsel of {} filed with the court of appeal"
SUMMARY = "A short summary of the business of {}, in two lines"
ASKED = {PLEADING: ("brief of {}", "{}'s brief"), SUMMARY: ("{} in brief", "a brief look at {}")}


def answered(model: SentenceTransformer, meant: str) -> float:
    """For how many queries about companies that trained nothing the nearest document is what is meant; 0..1."""
    documents = [form.format(one) for form in ASKED for one in (*JUDGED, *NEVER_JUDGED)]
    pairs = [(query.format(one), meant.format(one)) for query in ASKED[meant] for one in NEVER_JUDGED]
    nearest = (encode(model, [query for query, _ in pairs]) @ encode(model, documents).T).argmax(axis=1)
    return float(np.mean([documents[n] == right for n, (_, right) in zip(nearest, pairs, strict=True)]))


@pytest.fixture(scope="module")
def base() -> Path:
    return resolve_base(DEFAULT_BASE_MODEL)


@pytest.fixture(scope="module")
def adapted(base: Path, tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    folder = tmp_path_factory.mktemp("brief")
    pairs = [
        TrainingPair(
            query.format(one), form.format(one), [], query.format(one), form.format(one), Split.TRAIN, ["x"]
        )
        for form, queries in ASKED.items()
        for query in queries
        for one in JUDGED
    ]
    settings = TrainingSettings(batch_size=14, epochs=4, hard_negatives=0, merge_alphas=(), threads=1)
    config = FinetuneConfig(
        base, folder / "out", write_training_set(pairs, folder / "set").path, settings, "", ""
    )
    return load_model(run(config).model)


def test_base_takes_the_brief_of_a_party_for_something_short(base: Path) -> None:
    assert answered(load_model(base), PLEADING) == 0


def test_adapted_model_finds_the_briefs_of_parties_that_were_never_judged(adapted: SentenceTransformer) -> None:
    assert answered(adapted, PLEADING) > 0.8


def test_adapted_model_still_reads_brief_as_short_where_that_is_meant(adapted: SentenceTransformer) -> None:
    assert answered(adapted, SUMMARY) > 0.8
