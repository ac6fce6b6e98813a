from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.errors import TrainingFailed
from embedloop.records.labels import Judgment, LabelledText, Split
from embedloop.text.normalise import query_key
from training.pairs import build_pairs, labelled_pairs, read_training_set, text_id, write_training_set

TEXTS = {"D1": "Xerophthalmia\nDry eyes.", "D2": "Gout\nA painful joint.", "D3": "Fever\nHot."}


def judgment(
    query: str, document: str, split: Split = Split.TRAIN, grade: int = 1, sources: tuple[str, ...] = ()
) -> Judgment:
    return Judgment(query, document, grade, split, "import", sources)


def test_golden_irrelevant_and_textless_judgments_make_no_pairs() -> None:
    pairs = build_pairs(
        [
            judgment("gold", "D1", Split.GOLDEN),
            judgment("wrong", "D1", grade=0),
            judgment("lost", "D9"),
            judgment("dry eye", "D1"),
        ],
        TEXTS,
        {},
    )
    assert [pair.anchor for pair in pairs] == ["dry eye"]


def test_negatives_are_texts_without_the_positive_and_only_for_training() -> None:
    negatives = {"Dry Eye": ["D2", "D1", "D9", "D3"], "swollen toe": ["D1"]}
    judgments = [judgment("dry eye", "D1"), judgment("swollen toe", "D2", Split.DEV)]
    by_anchor = {pair.anchor: pair for pair in build_pairs(judgments, TEXTS, negatives)}
    assert by_anchor["dry eye"].negatives == (TEXTS["D2"], TEXTS["D3"])
    assert by_anchor["dry eye"].negative_ids == ("D2", "D3")
    assert by_anchor["swollen toe"].negatives == ()


def test_each_pair_names_its_sources() -> None:
    pairs = build_pairs([judgment("a b", "D1", sources=("f1", "f2")), judgment("c", "D2")], TEXTS, {})
    assert {pair.document_id: tuple(pair.lineage) for pair in pairs} == {
        "D1": ("f1", "f2"),
        "D2": (f"import:{query_key('c')}:D2",),
    }


def test_pair_names_who_refused_its_negatives() -> None:
    judgments = [
        judgment("dry eye", "D1", sources=("f1",)),
        judgment("dry eye", "D2", grade=0, sources=("f2",)),
        judgment("dry eye", "D3", grade=0, sources=("f3",)),
        judgment("swollen toe", "D2", grade=0, sources=("f4",)),
    ]
    (pair,) = build_pairs(judgments, TEXTS, {"dry eye": ["D2"]})
    assert (pair.negative_ids, pair.lineage) == (("D2",), ("f1", "f2"))


def test_two_wordings_of_one_key_become_one_pair_with_both_lineages() -> None:
    judgments = [judgment("dry eye", "D1", sources=("f1",)), judgment("Dry eye?", "D1", sources=("f2",))]
    (pair,) = build_pairs(judgments, TEXTS, {})
    assert (pair.anchor, pair.lineage) == ("dry eye", ("f1", "f2"))


def test_same_pairs_in_any_order_freeze_to_the_same_file(tmp_path: Path) -> None:
    pairs = build_pairs([judgment(f"query {n}", f"D{n}") for n in (1, 2, 3)], TEXTS, {"query 1": ["D2"]})
    one = write_training_set(pairs, tmp_path / "one")
    two = write_training_set(pairs[::-1], tmp_path / "two")
    assert one.sha256 == two.sha256
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.counts == {"pairs": 3, "train": 3, "dev": 0, "documents": 3, "with_negatives": 1}


def test_changed_lineage_changes_the_hash(tmp_path: Path) -> None:
    one = write_training_set(build_pairs([judgment("q", "D1", sources=("f1",))], TEXTS, {}), tmp_path)
    two = write_training_set(build_pairs([judgment("q", "D1", sources=("f2",))], TEXTS, {}), tmp_path)
    assert one.sha256 != two.sha256


def test_training_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts = {"D1": "odd\u2028 line\nends \ud800", "D2": "ümlaut"}
    pairs = build_pairs([judgment("q", "D1"), judgment("r", "D2", Split.DEV)], texts, {"q": ["D2"]})
    frozen = write_training_set(pairs, tmp_path)
    assert sorted(read_training_set(frozen.path), key=lambda pair: pair.anchor_key) == pairs


def test_broken_line_is_refused_by_number(tmp_path: Path) -> None:
    frozen = write_training_set(build_pairs([judgment("q", "D1")], TEXTS, {}), tmp_path)
    frozen.path.write_text(frozen.path.read_text() + '{"anchor": 1}\n')
    with pytest.raises(TrainingFailed, match="line 2"):
        read_training_set(frozen.path)


def test_missing_training_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"nothing\.jsonl"):
        read_training_set(tmp_path / "nothing.jsonl")


def labelled(anchor: str, text: str, relevant: bool, line: int, split: Split = Split.TRAIN) -> LabelledText:
    return LabelledText(anchor, text, relevant, f"import:faq:{line}", split)


def test_imported_texts_pair_with_the_wrong_ones_of_their_anchor() -> None:
    (pair,) = labelled_pairs(
        [labelled("Reset it?", "Hold the button.", True, 1), labelled("reset it", "Buy a new one.", False, 2)]
    )
    assert (pair.anchor, pair.positive, pair.negatives) == (
        "Reset it?",
        "Hold the button.",
        ("Buy a new one.",),
    )
    assert pair.lineage == ("import:faq:1", "import:faq:2")
    assert (pair.document_id, pair.negative_ids) == (
        text_id("Hold the button."),
        (text_id("Buy a new one."),),
    )


def test_imported_dev_pair_has_no_negatives() -> None:
    texts = [labelled("q", "right", True, 1, Split.DEV), labelled("q", "wrong", False, 2, Split.DEV)]
    assert labelled_pairs(texts)[0].negatives == ()


def test_near_duplicates_share_a_cluster_and_are_no_negatives_of_each_other() -> None:
    clusters = {"D1": "c", "D2": "c"}
    (pair,) = build_pairs([judgment("q", "D1")], TEXTS, {"q": ["D2", "D3"]}, clusters)
    assert pair.cluster == "c"
    assert pair.negatives == (TEXTS["D3"],)


def test_imported_near_duplicates_are_no_negatives_of_each_other() -> None:
    right, alike, wrong = "Hold the button.", "Hold the button!!", "Buy a new one."
    alike_ids = {text_id(right): "c", text_id(alike): "c"}
    texts = [labelled("q", right, True, 1), labelled("q", alike, False, 2), labelled("q", wrong, False, 3)]
    (pair,) = labelled_pairs(texts, alike_ids)
    assert (pair.cluster, pair.negatives) == ("c", (wrong,))
