from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_SECONDS
from training.finetune import FinetuneConfig

MakeConfig = Callable[..., FinetuneConfig]


@contextmanager
def child_of(config: FinetuneConfig | str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config.to_json()))
    with subprocess.Popen(
        [sys.executable, "-m", "training", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as child:
        yield child


def events(child: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert child.stdout is not None
    return [json.loads(line) for line in child.stdout]


@pytest.fixture
def endless(make_config: MakeConfig) -> FinetuneConfig:
    """Far more steps than a test waits for."""
    return make_config(epochs=10, batch_size=2, dev=False, evaluations=1)


def test_child_tells_progress_and_ends_with_the_result(make_config: MakeConfig, tmp_path: Path) -> None:
    with child_of(make_config(epochs=1), tmp_path) as child:
        told = events(child)
        assert child.wait(PATIENCE_SECONDS) == 0
    assert {one["event"] for one in told[:-1]} == {"progress"}
    assert {"progress", "step", "steps", "dev"} <= told[0].keys()
    assert told[-1]["event"] == "done"
    assert (Path(told[-1]["result"]["model"]) / "model.safetensors").is_file()


def test_child_dies_with_its_parent(endless: FinetuneConfig, tmp_path: Path) -> None:
    with child_of(endless, tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["event"] == "progress"
        child.stdin.close()
        assert child.wait(PATIENCE_SECONDS) == 3
    assert not (endless.out / "model").exists()


def test_child_stops_cleanly_when_asked(endless: FinetuneConfig, tmp_path: Path) -> None:
    with child_of(endless, tmp_path) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        child.stdin.write("stop\n")
        child.stdin.flush()
        told = events(child)
        assert child.wait(PATIENCE_SECONDS) == 2
    assert told[-1]["event"] == "cancelled"
    assert list((endless.out / "checkpoints").glob("checkpoint-*"))


def test_refusal_is_told_by_code(make_config: MakeConfig, tmp_path: Path) -> None:
    with child_of(make_config(base=tmp_path / "nowhere"), tmp_path) as child:
        told = events(child)
        assert child.wait(PATIENCE_SECONDS) == 1
    assert (told[-1]["event"], told[-1]["code"]) == ("error", "model_refused")
    assert "nowhere" in told[-1]["message"]


def test_broken_configuration_is_told(tmp_path: Path) -> None:
    with child_of("{}", tmp_path) as child:
        told = events(child)
        assert child.wait(PATIENCE_SECONDS) == 1
    assert (told[-1]["event"], told[-1]["code"]) == ("error", "invalid_input")
