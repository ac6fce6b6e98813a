from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedloop.errors import TrainingFailed
from embedloop.recipe.settings import Transfer
from embedloop.records.labels import Split
from embedloop.records.training import TrainingPair
from embedloop.text.normalise import query_key
from training.general import packaged_pairs
from training.transfer import transfer_pairs


def own(count: int, split: Split = Split.TRAIN) -> list[TrainingPair]:
    return [
        TrainingPair(f"q{n}", f"text {n}", (), query_key(f"q{n}"), f"d{n}", split, ("f",)) for n in range(count)
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps({"anchor": f"q{n}", "positive": f"p{n}"}) + "\n" for n in range(50)))
    return path


def test_ratio_is_of_the_corpus_own_training_pairs() -> None:
    pairs = transfer_pairs(Transfer(ratio=0.5), own(40), set(), seed=1)
    assert len(pairs) == 20
    assert {pair.split for pair in pairs} == {Split.TRAIN}
    assert len(transfer_pairs(Transfer(ratio=10), own(4), set(), seed=1)) == 40
    assert transfer_pairs(Transfer(ratio=0.5), own(40, Split.DEV), set(), seed=1) == []


def test_lineage_says_where_a_pair_is_from() -> None:
    known = {pair.identity: pair for pair in packaged_pairs()}
    for pair in transfer_pairs(Transfer(ratio=1), own(5), set(), seed=1):
        (line,) = pair.lineage
        assert line.startswith("transfer:general:")
        assert known[line.rsplit(":", 1)[1]].positive == pair.positive


def test_golden_queries_and_the_corpus_own_are_left_out(file: Path) -> None:
    golden = {query_key("q20"), query_key("q21")}
    pairs = transfer_pairs(Transfer(path=str(file), ratio=10), own(10), golden, seed=1)
    assert {pair.anchor for pair in pairs} == {f"q{n}" for n in range(10, 50)} - {"q20", "q21"}
    assert pairs[0].lineage[0].startswith("transfer:open.jsonl:")


def test_same_seed_chooses_the_same_pairs() -> None:
    first, again, other = (transfer_pairs(Transfer(), own(50), set(), seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "line",
    [
        "secret",
        '{"anchor": "secret"}',
        '{"anchor": 1, "positive": "x"}',
        '["secret"]',
        '{"anchor": "", "positive": "x"}',
    ],
)
def test_line_that_is_no_pair_is_refused_by_number_and_not_shown(line: str, file: Path) -> None:
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(TrainingFailed, match="line 51") as refusal:
        transfer_pairs(Transfer(path=str(file)), own(1), set(), seed=1)
    assert "secret" not in refusal.value.message


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_file_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingFailed, match="cannot be read"):
        transfer_pairs(Transfer(path=str(path)), own(1), set(), seed=1)
