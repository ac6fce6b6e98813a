"""The training child process: `python -m training CONFIG.json`.

Writes one JSON object per line to stdout: `{"event": "progress", ...}` and then one of
`{"event": "done", "result": {...}}` (exit 0), `{"event": "error", "code", "message"}` (exit 1) or
`{"event": "cancelled", "message"}` (exit 2). Everything else goes to stderr. The line `stop` on stdin asks
for a clean end; the end of stdin means that the parent is gone, and ends the process at once (exit 3).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from embedloop.errors import EmbedloopError, InvalidInput, JobCancelled

_ORPHANED = 3


def main(arguments: list[str]) -> int:
    """Runs one course, or trains one re-ranker; returns the exit code."""
    events = _claim_stdout()
    stop = threading.Event()
    threading.Thread(target=_follow_parent, args=(stop,), daemon=True).start()
    # Must be set before huggingface_hub is first imported.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    try:
        if len(arguments) != 1:
            raise InvalidInput(f"usage: python -m training CONFIG.json, got {len(arguments)} arguments")
        _emit(events, event="done", result=_train(Path(arguments[0]), events, stop))
    except JobCancelled as cancelled:
        _emit(events, event="cancelled", message=cancelled.message)
        return 2
    except EmbedloopError as error:
        _emit(events, event="error", code=error.code, message=error.message)
        return 1
    except Exception as error:  # the parent must learn of any end, with the traceback on stderr
        traceback.print_exc()
        _emit(events, event="error", code="training_failed", message=f"{type(error).__name__}: {error}")
        return 1
    return 0


def _train(path: Path, events: TextIO, stop: threading.Event) -> dict[str, Any]:
    from transformers.utils.logging import disable_progress_bar

    from training.course import run_course
    from training.finetune import FinetuneConfig, Progress
    from training.reranking import RERANKER, RerankerConfig, train_reranker

    disable_progress_bar()

    def report(progress: Progress) -> None:
        known = {name: value for name, value in asdict(progress).items() if value is not None}
        _emit(events, event="progress", **known)

    config: FinetuneConfig | RerankerConfig
    try:
        raw = json.loads(path.read_text())
        is_reranker = raw.get("trains") == RERANKER
        config = RerankerConfig.from_json(raw) if is_reranker else FinetuneConfig.from_json(raw)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is not a configuration: {error}") from error
    if isinstance(config, RerankerConfig):
        return train_reranker(config, on_progress=report, should_stop=stop.is_set).to_json()
    return run_course(config, on_progress=report, should_stop=stop.is_set)


def _claim_stdout() -> TextIO:
    """Keeps stdout for events; whatever else would print there goes to stderr."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


def _emit(events: TextIO, **event: Any) -> None:
    # Of several processes, started by `training.ranks.command`, the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(event), file=events, flush=True)


def _follow_parent(stop: threading.Event) -> None:
    # Raw reads: a daemon thread inside a buffered reader would hold its lock at interpreter exit.
    pending = b""
    while chunk := os.read(0, 1024):
        *lines, pending = (pending + chunk).split(b"\n")
        if b"stop" in (line.strip() for line in lines):
            stop.set()
    os._exit(_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
