"""Stage `train`: a child process fine-tunes, this one renews the lease, tells progress, and can stop it."""

from __future__ import annotations

import json
import logging
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from embedloop.catalog import documents, models
from embedloop.errors import TrainingFailed, WorkInterrupted
from embedloop.jobs import Advance, Lease, Outcome
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job
from embedloop.registry import RUN_FILE, run_name, verified_folder
from embedloop.text.chunking import embedding_text
from training.finetune import FinetuneConfig
from training.general import write_general_sets
from training.outcome import PICTURE_FILE, RECORD_FILE
from training.pairs import read_training_set
from training.ranks import command
from training.validation import dev_questions
from workers.bases import register_base, register_folder
from workers.general import general_sets
from workers.labels import check_may_train
from workers.ordered import corpus_of
from workers.parts import Parts
from workers.passages import write_passages
from workers.query_map import train_query_map

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
PARITY_TEXTS = 32
STOP_SECONDS = 30
# A step of the training, and writing its weights.
CHECKPOINT_SECONDS = 120


def train(parts: Parts, job: Job, lease: Lease) -> Outcome:
    """Trains as the recipe says on the job's training set, and registers the result."""
    with parts.database.read() as connection:
        corpus = corpus_of(connection, job)
        training_set = models.training_set(connection, job.checkpoint["training_set"])
        sample = documents.sample(connection, corpus.name, PARITY_TEXTS)
    frozen = parts.store.fetch(training_set.training_set_id) / training_set.path
    pairs = read_training_set(frozen)
    check_may_train(parts.database, corpus, training_set.training_set_id, pairs)
    query_map = corpus.policy.training.query_map
    if query_map is not None:
        return train_query_map(parts, corpus, query_map, training_set, pairs, lease)
    texts = [embedding_text(d.title, d.text) for d in sample]
    base = register_base(parts, corpus.policy)
    work = parts.settings.data_dir / "work" / job.job_id
    run = work / "run"
    config = FinetuneConfig(
        base=verified_folder(parts.store, base),
        out=run,
        training_set=frozen,
        settings=corpus.policy.training,
        query_prompt=base.query_prompt,
        passage_prompt=base.passage_prompt,
        general=_general(parts, corpus, work),
        max_general_drop=corpus.policy.gate.max_general_drop,
        passages=_passages(parts, corpus, work, lease),
    )
    result = run_child(config, lease, processes=config.settings.processes)
    model = register_folder(
        parts,
        Path(result["model"]),
        base=base.base,
        prompts=(base.query_prompt, base.passage_prompt),
        texts=texts,
        settings=corpus.policy.export,
        judged=dev_questions(pairs),
        check=lease.check,
        parent=base.model_id,
        corpus=corpus.name,
        training_set_id=training_set.training_set_id,
        metrics=metrics_of(result, training_set.counts),
    )
    keep_record(parts, run, model.model_id)
    shutil.rmtree(work, ignore_errors=True)
    log.info("registered model version %s", model.model_id)
    return Advance({"model_version": model.model_id})


def _general(parts: Parts, corpus: Corpus, folder: Path) -> Path | None:
    """The general sets as a file for the child, where the policy wants any and something is merged."""
    sets = general_sets(parts, corpus) if corpus.policy.training.merge_alphas else []
    if not sets:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "general.json"
    write_general_sets(sets, path)
    return path


def _passages(parts: Parts, corpus: Corpus, folder: Path, lease: Lease) -> Path | None:
    """Texts of the corpus as a file for the child, where a step of the recipe reads them."""
    # torch loads here and not when a worker starts.
    from training.course import needs_passages

    if not needs_passages(corpus.policy.training):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return write_passages(parts, corpus, folder / "passages.jsonl", lease)


def keep_record(parts: Parts, run: Path, model_id: str) -> None:
    """Configuration, environment and curves, as data and picture, go to the model store as `run-<model id>`."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copy(run / RECORD_FILE, Path(scratch) / RUN_FILE)
        shutil.copy(run / PICTURE_FILE, scratch)
        parts.store.put(run_name(model_id), Path(scratch))


class ChildConfig(Protocol):
    """What `python -m training` reads: which training it is, and the folder that it works in."""

    @property
    def out(self) -> Path: ...

    def to_json(self) -> dict[str, Any]: ...


def run_child(
    config: ChildConfig, lease: Lease, share: tuple[float, float] = (0.0, 0.95), *, processes: int = 1
) -> dict[str, Any]:
    """Trains in a process of its own, which ends when this one does; returns its result.

    `share` is the part of the stage's progress, from and to, that it is. A checkpoint that an earlier attempt
    left in `config.out` is resumed.

    Raises:
        JobCancelled: the job was cancelled; the child is gone.
        WorkInterrupted: the job was paused, or this worker ends; the child has left a checkpoint.
        TrainingFailed: the child ended without a model.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    config_file = config.out / "config.json"
    config_file.write_text(json.dumps(config.to_json()))
    with _child(config_file, processes) as (process, events):
        try:
            return _follow(process, events, config.out, lease, share)
        except WorkInterrupted:
            _save_checkpoint(process)
            raise


def _follow(
    process: subprocess.Popen[str],
    events: queue.Queue[dict[str, Any] | None],
    folder: Path,
    lease: Lease,
    share: tuple[float, float],
) -> dict[str, Any]:
    while True:
        try:
            event = events.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            lease.check()
            continue
        if event is None:
            raise TrainingFailed(_last_words(folder, process.wait(STOP_SECONDS)))
        match event["event"]:
            case "progress":
                lease.progress(share[0] + (share[1] - share[0]) * event["progress"])
            case "done":
                result: dict[str, Any] = event["result"]
                return result
            case "error":
                raise TrainingFailed(f"{event['code']}: {event['message']}")
            case other:
                raise TrainingFailed(f"the training process ended with {other!r}")


def _save_checkpoint(process: subprocess.Popen[str]) -> None:
    """Asks the child to end after its step with a checkpoint; without it, an older one is resumed."""
    try:
        if process.stdin is not None:
            process.stdin.write("stop\n")
            process.stdin.flush()
        process.wait(timeout=CHECKPOINT_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired) as error:
        log.warning("the training process left no checkpoint of its own: %s", error)


@contextmanager
def _child(
    config_file: Path, processes: int
) -> Iterator[tuple[subprocess.Popen[str], queue.Queue[dict[str, Any] | None]]]:
    """The child with its events; it is gone when the block ends, however it ends."""
    with (config_file.parent / "stderr.log").open("w") as errors:
        process = subprocess.Popen(
            ["nice", "-n", "10", *command(config_file, processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        reader = threading.Thread(target=_read, args=(process, events), daemon=True)
        reader.start()
        try:
            yield process, events
        finally:
            # The end of its stdin ends the child, as it would if this process died.
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join(timeout=STOP_SECONDS)
            if process.stdout is not None:
                process.stdout.close()


def _read(process: subprocess.Popen[str], events: queue.Queue[dict[str, Any] | None]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            events.put(json.loads(line))
    events.put(None)


def _last_words(folder: Path, code: int) -> str:
    lines = (folder / "stderr.log").read_text().splitlines()
    return f"the training process ended with code {code}: {' | '.join(lines[-3:]) or 'no message'}"


def metrics_of(result: dict[str, Any], counts: Any) -> dict[str, Any]:
    """What a model version tells of its training."""
    curve: dict[int, dict[str, Any]] = {}
    for name in ("loss", "dev", "space"):
        for step, value in result[name]:
            curve.setdefault(step, {"step": step})[name] = value
    kept = ("steps", "planned_steps", "seconds", "stopped_by", "best_step", "sweep", "notes", "course")
    return {
        **{name: result[name] for name in kept if name in result},
        "curve": [curve[step] for step in sorted(curve)],
        "pairs": dict(counts),
    }
