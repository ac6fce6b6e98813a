from __future__ import annotations

from dataclasses import replace

import pytest

from embedloop.errors import InvalidInput
from tests.unit.embedloop.test_copying import MAPPED, OTHER, PLAIN
from workers.bridge import check_can_meet


def test_models_that_put_passages_elsewhere_can_meet() -> None:
    check_can_meet(OTHER, PLAIN)


def test_a_model_whose_passages_serve_already_needs_no_bridge() -> None:
    with pytest.raises(InvalidInput, match="a reindex copies them") as refusal:
        check_can_meet(MAPPED, PLAIN)
    assert refusal.value.field == "params.model_version"


def test_models_of_two_backends_cannot_be_one_version() -> None:
    with pytest.raises(InvalidInput, match=r"'torch'.*'onnx'") as refusal:
        check_can_meet(replace(OTHER, backend="torch"), PLAIN)
    assert refusal.value.field == "params.model_version"
