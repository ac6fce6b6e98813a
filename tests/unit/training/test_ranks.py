from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.patience import PATIENCE_SECONDS
from training import ranks
from training.finetune import FinetuneConfig

MakeConfig = Callable[..., FinetuneConfig]


def test_one_process_alone_agrees_with_itself() -> None:
    assert ranks.is_first()
    assert (ranks.any_of(True), ranks.any_of(False), ranks.from_first(lambda: 7)) == (True, False, 7)


def test_two_processes_train_one_model_and_one_of_them_speaks(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config(epochs=4, processes=2, precision="fp32")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config.to_json()))
    with subprocess.Popen(
        ranks.command(path, 2),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as child:
        told = [json.loads(line) for line in child.stdout or ()]
        errors = child.stderr.read() if child.stderr else ""
        assert child.wait(PATIENCE_SECONDS) == 0, errors
    done = [one for one in told if one["event"] == "done"]
    assert len(done) == 1
    result = done[0]["result"]
    steps = [one["step"] for one in told if one["event"] == "progress"]
    assert steps[: result["steps"] + 1] == list(range(result["steps"] + 1))
    assert result["dev"][-1][1] > result["dev"][0][1] + 0.2
    assert (Path(result["model"]) / "model.safetensors").is_file()
