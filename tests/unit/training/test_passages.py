from __future__ import annotations

from pathlib import Path

import pytest

from embedloop.errors import TrainingFailed
from training.passages import read_passages


def test_texts_come_back_in_their_order_with_their_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_text('"second\\nline"\n"रक्तचाप"\n', encoding="utf-8")
    assert read_passages(path) == ["second\nline", "रक्तचाप"]


@pytest.mark.parametrize("content", ["", '"one"\n{', '"one"\n7\n'])
def test_file_that_is_no_list_of_texts_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_text(content)
    with pytest.raises(TrainingFailed, match=r"passages\.jsonl"):
        read_passages(path)


def test_recipe_without_its_passages_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="passages"):
        read_passages(None)
