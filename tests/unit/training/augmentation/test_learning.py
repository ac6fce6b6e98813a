"""What augmentation teaches a real, tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embedloop.recipe.settings import TrainingSettings
from embedloop.recipe.sources import Structure
from tests.tiny_model import build_tiny_model
from tests.unit.training.conftest import run, synonym_pairs
from training.augmentation.abbreviations import Abbreviations, AbbreviationTable
from training.augmentation.ablation import ablate
from training.augmentation.augment import augment
from training.augmentation.spelling import Misspelling
from training.augmentation.trial import finetune_trial
from training.finetune import FinetuneConfig
from training.model_files import load_model
from training.pairs import write_training_set
from training.unlabelled.passages import CutDocument, choose
from training.unlabelled.structure import structure_offers
from training.validation import encode

PLACES = ("texas", "alaska", "norway", "angola", "egypt", "brazil", "canada", "oman")
PRESSURE = {
    f"m{n}": (f"blood pressure in {one}", f"how the heart and its arteries do in {one}")
    for n, one in enumerate(PLACES)
}
COMPANY = {
    f"c{n}": (f"oil company of {one}", f"bp drills at sea and sells petrol in {one}")
    for n, one in enumerate(PLACES)
}
# The only document that says what the doctors of this corpus mean.
NOTE = "Every blood pressure (BP) is read twice."


def documents() -> list[CutDocument]:
    named = {**PRESSURE, **COMPANY}
    return [CutDocument(identity, title, text, [text]) for identity, (title, text) in named.items()]


def about_pressure(model: SentenceTransformer, queries: Sequence[str]) -> float:
    """For how many of the queries the nearest document is about blood pressure; 0..1."""
    texts = [one.text for one in documents()]
    nearest = (encode(model, queries) @ encode(model, texts).T).argmax(axis=1)
    return float(np.mean(nearest < len(PRESSURE)))


def test_bp_of_the_doctors_and_bp_of_the_oil_company_are_told_apart(tmp_path: Path) -> None:
    words = sorted({word for one in documents() for word in f"{one.title} {one.text}".lower().split()})
    base = build_tiny_model(tmp_path / "base", words=[*words, "(", ")"])
    settings = Structure(kinds=("title",))
    pairs = choose([offer for one in documents() for offer in structure_offers(one, settings, str)], {}).pairs
    meanings = AbbreviationTable([NOTE, *(one.text for one in documents())]).meanings
    varied = augment(pairs, {"abbreviations": Abbreviations(meanings)}, 1.0, 13).pairs
    assert {one.anchor for one in varied} == {f"BP in {one}" for one in PLACES}
    config = FinetuneConfig(
        base=base,
        out=tmp_path / "out",
        training_set=write_training_set([*pairs, *varied], tmp_path / "set").path,
        settings=TrainingSettings(batch_size=8, epochs=6, learning_rate=5e-3, threads=1, hard_negatives=0),
        query_prompt="",
        passage_prompt="",
    )
    before, after = load_model(base), load_model(run(config).model)
    asked = ["BP", *(f"BP in {one}" for one in PLACES)]
    assert about_pressure(before, asked) < 0.5
    assert about_pressure(after, asked) > 0.8
    assert about_pressure(after, [f"oil company of {one}" for one in PLACES]) < 0.2


@pytest.fixture
def config(make_config: Callable[..., FinetuneConfig]) -> FinetuneConfig:
    return make_config(max_steps=2, evaluations=1, merge_alphas=(), hard_negatives=0)


def test_an_ablation_trains_and_measures_each_kind_on_the_same_dev_queries(
    config: FinetuneConfig, tmp_path: Path
) -> None:
    pairs = synonym_pairs()
    trial = finetune_trial(config, pairs, tmp_path / "trials")
    (effect,) = ablate(pairs, {"spelling": Misspelling()}, trial, share=0.5, seed=1)
    assert effect.added > 0
    assert effect.difference.low <= effect.difference.mean <= effect.difference.high
    assert {one.name for one in (tmp_path / "trials").iterdir()} == {"trial-0", "trial-1"}
