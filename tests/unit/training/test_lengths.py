from __future__ import annotations

from pathlib import Path

from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from tests.unit.training.conftest import document, lay
from training.batches import make_rows
from training.lengths import token_lengths
from training.model_files import load_model


def test_lengths_are_those_of_the_model_with_prompts_and_window(tiny_base: Path) -> None:
    model = load_model(tiny_base)
    texts = [document(1), "a disease", " ".join(["body"] * 100)]
    pairs = [
        TrainingPair(lay(n), text, (), f"k{n}", f"d{n}", Split.TRAIN, ("f",)) for n, text in enumerate(texts)
    ]
    rows = make_rows(pairs, 0, 0)
    # [CLS] and [SEP] count, and so do the words of a prompt.
    assert token_lengths(model, rows, "", "") == [(3, 8), (3, 4), (3, 64)]
    assert token_lengths(model, rows, "what is ", "the ") == [(5, 9), (5, 5), (5, 64)]


def test_longest_document_of_a_row_counts(tiny_base: Path) -> None:
    pairs = [
        TrainingPair(lay(n), f"{lay(n)}", ("a disease of the body",), f"k{n}", f"d{n}", Split.TRAIN, ("f",))
        for n in range(2)
    ]
    assert token_lengths(load_model(tiny_base), make_rows(pairs, 1, 0), "", "") == [(3, 7), (3, 7)]
