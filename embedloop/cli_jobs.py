"""Commands that start, show, pause, resume, cancel, approve and reject jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedloop.cli_session import (
    AsJson,
    Wait,
    client_of,
    print_error,
    print_json,
    print_line,
    wait_with_progress,
)

app = typer.Typer()
jobs = typer.Typer(help="List, show and steer jobs.", invoke_without_command=True)
app.add_typer(jobs, name="jobs")

CorpusName = Annotated[str, typer.Argument(metavar="CORPUS", help="Name of the corpus.")]
TrainingOption = Annotated[
    str | None,
    typer.Option(
        "--training",
        metavar="JSON",
        help="Fields of policy.training for this job alone, as JSON: '{\"epochs\": 2}'.",
    ),
]
FromScratchOption = Annotated[
    str | None,
    typer.Option(
        "--from-scratch",
        metavar="METHOD",
        help="Make the model of the corpus alone: lsa, word2vec, fasttext or transformer; more by --training.",
    ),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Id of a model version.")]


@app.command()
def reindex(
    context: typer.Context,
    corpus: CorpusName,
    model: ModelOption = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Build it, but do not serve it.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Build a new index version, verify it and promote it."""
    params: dict[str, Any] = {"promote": not no_promote}
    if model:
        params["model_version"] = model
    start(context, "reindex", corpus, params, wait, as_json)


@app.command()
def bridge(
    context: typer.Context,
    corpus: CorpusName,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Id of the new model version.")],
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Build it, but do not serve it.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Answer queries of a new model from the passages as they are, until a reindex has re-embedded them."""
    params = {"model_version": model, "promote": not no_promote}
    start(context, "bridge", corpus, params, wait, as_json)


@app.command()
def compress(
    context: typer.Context,
    corpus: CorpusName,
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="int8, or static: a vector for each token.")],
    model: ModelOption = None,
    static: Annotated[
        str | None,
        typer.Option(
            "--static", metavar="JSON", help="In place of policy.training.static, for this job alone."
        ),
    ] = None,
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", help="How much nDCG@10 it may lose at most; 0.01 by default.")
    ] = None,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Build it, but do not serve it.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Make a cheaper version of the serving model without training, and serve it if it keeps enough."""
    given = {
        "model_version": model,
        "static": None if static is None else json_object(static, "--static"),
        "max_drop": max_drop,
    }
    params = {"to": to, "promote": not no_promote} | {k: v for k, v in given.items() if v is not None}
    start(context, "compress", corpus, params, wait, as_json)


@app.command()
def train(
    context: typer.Context,
    corpus: CorpusName,
    training: TrainingOption = None,
    from_scratch: FromScratchOption = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Train a model for the corpus, without serving it."""
    start(context, "finetune", corpus, _ordered(training, from_scratch), wait, as_json)


@app.command()
def cycle(
    context: typer.Context,
    corpus: CorpusName,
    training: TrainingOption = None,
    from_scratch: FromScratchOption = None,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Train, compare at the gate, re-embed and promote: the whole loop once."""
    kind = "cycle" if from_scratch is None else "train_from_scratch"
    start(context, kind, corpus, _ordered(training, from_scratch), wait, as_json)


@app.command("train-reranker")
def train_reranker(
    context: typer.Context,
    corpus: CorpusName,
    no_promote: Annotated[bool, typer.Option("--no-promote", help="Ask the gate, but do not use it.")] = False,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Train a re-ranker of the best hits, and use it where it is better than none."""
    start(context, "reranker", corpus, {"promote": not no_promote}, wait, as_json)


@jobs.callback()
def list_by_default(context: typer.Context) -> None:
    """List, show, pause, resume, cancel, approve and reject jobs."""
    if context.invoked_subcommand is None:
        _list(context, None, None, as_json=False)


@jobs.command("list")
def list_jobs(
    context: typer.Context,
    corpus: Annotated[str | None, typer.Option(help="Only those of this corpus.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, the newest first."""
    _list(context, corpus, state, as_json=as_json)


@jobs.command()
def show(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Show one job, and why it failed."""
    with client_of(context) as client:
        job = client.job(job_id)
    _print_job(job, as_json)
    if not as_json and (error := job.get("error")):
        print_line(f"{error['code']}: {error['message']}")


@jobs.command()
def cancel(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Ask a job to end."""
    with client_of(context) as client:
        _print_job(client.cancel_job(job_id), as_json)


@jobs.command()
def pause(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Let a job rest where it is; it still keeps other jobs off its corpus."""
    with client_of(context) as client:
        _print_job(client.pause_job(job_id), as_json)


@jobs.command()
def resume(context: typer.Context, job_id: str, as_json: AsJson = False) -> None:
    """Let a paused job go on where it was."""
    with client_of(context) as client:
        _print_job(client.resume_job(job_id), as_json)


@jobs.command()
def approve(
    context: typer.Context,
    job_id: str,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; kept for ever.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let a job that waits for approval promote."""
    with client_of(context) as client:
        _print_job(client.approve_job(job_id, reason), as_json)


@jobs.command()
def reject(
    context: typer.Context,
    job_id: str,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept for ever.")],
    as_json: AsJson = False,
) -> None:
    """End a job that waits for approval; what it built is given up."""
    with client_of(context) as client:
        _print_job(client.reject_job(job_id, reason), as_json)


def start(
    context: typer.Context,
    kind: str,
    corpus: str,
    params: dict[str, Any],
    wait: bool,
    as_json: bool,
    show: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Submit a job and print it, and once it has succeeded its result by `show`."""
    with client_of(context) as client:
        job = client.submit_job(kind, corpus, params)
        if wait:
            job = wait_with_progress(client, job)
    if show is not None and not as_json and job["state"] == "succeeded":
        show(job["result"])
        return
    _print_job(job, as_json)
    if wait:
        exit_unless_succeeded(job)


def _ordered(training: str | None, from_scratch: str | None) -> dict[str, Any]:
    """The params of a job that trains; raises BadParameter for what is no JSON object."""
    made = {} if from_scratch is None else {"from_scratch": {"method": from_scratch}}
    if training is None:
        return {"training": made} if made else {}
    return {"training": made | json_object(training, "--training")}


def json_object(given: str, option: str) -> dict[str, Any]:
    """What an option holds as JSON; raises BadParameter for what is no JSON object."""
    try:
        found = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"is no JSON: {error}", param_hint=option) from error
    if not isinstance(found, dict):
        raise typer.BadParameter(f"must be a JSON object, got {given}", param_hint=option)
    return found


def exit_unless_succeeded(job: dict[str, Any]) -> None:
    """End the program with 1 and the job's reason when it did not succeed."""
    if job["state"] != "succeeded":
        error = job.get("error") or {}
        reason = error.get("message", "it gave no reason")
        print_error(f"{job['kind']} {job['id']} {job['state']}: {reason}", error.get("field"))
        raise typer.Exit(1)


def _list(context: typer.Context, corpus: str | None, state: str | None, *, as_json: bool) -> None:
    with client_of(context) as client:
        found = client.jobs(corpus, state)
    if as_json:
        print_json(found)
        return
    table = Table("id", "kind", "corpus", "state", "stage", "progress", "updated")
    for job in found:
        cells = (job["id"], job["kind"], job["corpus"], job["state"], job["stage"])
        table.add_row(*map(Text, cells), f"{job['progress']:.0%}", Text(job["updated_at"]))
    Console().print(table)


def _print_job(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    stage = f", {job['stage']}" if job["stage"] else ""
    print_line(f"{job['kind']} {job['id']} of {job['corpus']}: {job['state']}{stage}, {job['progress']:.0%}")
    if job.get("result"):
        print_json(job["result"])
