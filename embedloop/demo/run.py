"""`embedloop demo`: ingest an ontology, let people vote, watch the model learn and the index swap."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.markup import escape

from embedloop.client import Client
from embedloop.client.results import Json
from embedloop.demo import aims, cycle_start, ontology
from embedloop.demo import report as report_page
from embedloop.demo.corpus_setup import create_and_fill, golden_cases, import_judgments, serving_version
from embedloop.demo.measure import Answered, measure
from embedloop.demo.metrics import compare
from embedloop.demo.narrate import Narrator, StageMark
from embedloop.demo.ontology import Vocabulary
from embedloop.demo.people import Tally
from embedloop.demo.plan import CORPUS, DemoPlan
from embedloop.demo.report import DemoResult
from embedloop.demo.swap_probe import SwapProbe, judge, record
from embedloop.errors import EmbedloopError, InvalidInput

CYCLE_SECONDS = 6 * 3600.0
_AFTER_PROMOTION = 30


def demo(
    *, full: bool, labels: bool, terms: int, keep: bool, data_dir: Path | None, report: Path, port: int
) -> int:
    """Run the demo on a stack of its own and write its report.

    Args:
        full: Take every term of the ontology.
        labels: Import training labels, instead of people voting.
        terms: How many terms to take otherwise.
        keep: Leave the stack running at the end, until Ctrl-C, and keep its data.
        data_dir: Empty or new folder for the stack's data; None takes a temporary one.
        report: Where the page goes; its numbers go beside it with the suffix `.json`.
        port: Of the service, on loopback.

    Returns:
        0 when everything was shown, otherwise 1; the reasons are printed.
    """
    narrator = Narrator()
    kept = keep or data_dir is not None
    folder: Path | None = None
    try:
        plan = DemoPlan.of(terms, full, labels)
        report_page.check_ready(report)
        folder = _fresh(data_dir)
        failures = _run(plan, folder, port, report, keep, narrator)
    except EmbedloopError as error:
        failures = [f"{error.code}: {error.message}"]
        narrator.verdict(failures)
    if folder is not None and not kept and not failures:
        shutil.rmtree(folder)
    elif folder is not None:
        narrator.say(f"The data and the logs are in {escape(str(folder))}")
    return 1 if failures else 0


def _run(
    plan: DemoPlan, folder: Path, port: int, report: Path, keep: bool, narrator: Narrator
) -> Sequence[str]:
    # Loaded here, so that a bad argument is answered without the server's packages.
    from embedloop.supervisor import Stack

    with narrator.step("vocabulary", "The ontology"):
        vocabulary = ontology.build_vocabulary(
            ontology.ontology_file(),
            terms=plan.terms,
            test_cap=plan.test_cap,
            golden_cap=plan.golden_cap,
            seed=plan.seed,
        )
        narrator.say(
            f"{len(vocabulary.terms)} terms are documents; of their synonyms {len(vocabulary.train)} are for "
            f"training, {len(vocabulary.golden)} for the gate, {len(vocabulary.test)} for the test."
        )
    with ExitStack() as stack:
        with narrator.step("start", "The stack"):
            running = stack.enter_context(Stack(data_dir=folder, port=port))
            narrator.say(f"The service is ready at {running.url}")
        client = stack.enter_context(Client(running.url, running.admin_key, timeout_seconds=60.0))
        # Without retries, so that no failed search is hidden.
        searcher = stack.enter_context(Client(running.url, running.admin_key, timeout_seconds=60.0, retries=0))
        result = tell(client, searcher, plan, vocabulary, narrator)
        numbers = report_page.write(result, report)
        narrator.comparison(result.compared, len(vocabulary.test))
        narrator.say(f"Report: {escape(str(report.resolve()))}, numbers: {escape(str(numbers.resolve()))}")
        narrator.verdict(result.failures)
        if keep:
            narrator.say(
                f"The service goes on at {running.url} until Ctrl-C; the admin key is in "
                f"{escape(str(folder / 'admin.key'))}"
            )
            running.wait()
        else:
            narrator.say("The stack stops now; with --keep it goes on.")
    return result.failures


def tell(
    client: Client, searcher: Client, plan: DemoPlan, vocabulary: Vocabulary, narrator: Narrator
) -> DemoResult:
    """Go through the whole story on a running service.

    Args:
        client: For everything but the background searches.
        searcher: For those; it should not retry.
        plan: What to do.
        vocabulary: Documents and queries.
        narrator: Tells the story.
    """
    with narrator.step("ingest", "Documents and golden queries"):
        create_and_fill(client, plan, vocabulary, narrator)
        with narrator.count("golden queries", len(vocabulary.golden)) as imported:
            import_judgments(client, golden_cases(vocabulary), imported)
        old = serving_version(client)
    with narrator.step("measure_before", "Before"):
        before = _measured(client, plan, vocabulary, narrator)
        probes, others = _background_queries(plan, vocabulary)
        oracle = record(searcher, CORPUS, probes)
    with SwapProbe(searcher, CORPUS, probes, others, plan.searches_per_second) as probe:
        cycle, tally, stages = _cycle(client, plan, vocabulary, before, narrator)
        if aims.promoted(cycle):
            probe.wait_for_more(_AFTER_PROMOTION)
    with narrator.step("measure_after", "After"):
        oracle |= record(searcher, CORPUS, probes)
        after = _measured(client, plan, vocabulary, narrator)
    model_of = {version["id"]: version["model_version"] for version in client.index_versions(CORPUS)}
    verdict = judge(probe.samples, model_of, oracle, probes)
    compared = compare([one.rank for one in before], [one.rank for one in after], plan.seed)
    candidate = (cycle.get("result") or {}).get("model_version")
    return DemoResult(
        plan=plan,
        vocabulary=vocabulary,
        before=before,
        after=after,
        compared=compared,
        tally=tally,
        cycle=cycle,
        model=client.model(candidate) if candidate else None,
        old_version=old["id"],
        stages=stages,
        samples=probe.samples,
        verdict=verdict,
        seconds=narrator.seconds,
        failures=aims.failures(plan, cycle, verdict, compared),
    )


def _cycle(
    client: Client,
    plan: DemoPlan,
    vocabulary: Vocabulary,
    before: Sequence[Answered],
    narrator: Narrator,
) -> tuple[Json, Tally | None, Sequence[StageMark]]:
    tally = None
    with narrator.step("teach", "Labels" if plan.labels else "People"):
        if plan.labels:
            job = cycle_start.start_labelled_cycle(client, plan, vocabulary, narrator)
        else:
            ranks = [one.rank for one in before]
            job, tally = cycle_start.vote_until_cycle(client, plan, vocabulary, ranks, narrator)
            narrator.say(f"{tally.votes} votes after {tally.searches} searches: cycle {job['id']} has started.")
    with narrator.step("cycle", "Train, gate, re-embed, promote"), narrator.job("cycle") as bar:
        job = client.wait_for_job(job["id"], CYCLE_SECONDS, bar)
    return job, tally, bar.marks


def _measured(client: Client, plan: DemoPlan, vocabulary: Vocabulary, narrator: Narrator) -> list[Answered]:
    with narrator.count("test queries", len(vocabulary.test)) as answered:
        return measure(client, CORPUS, vocabulary.test, threads=plan.threads, on_answer=answered)


def _background_queries(plan: DemoPlan, vocabulary: Vocabulary) -> tuple[list[str], list[str]]:
    queries = [case.query for case in vocabulary.train]
    random.Random(plan.seed).shuffle(queries)
    return queries[: plan.probes], queries[plan.probes :]


def _fresh(data_dir: Path | None) -> Path:
    """Give an empty folder.

    Raises:
        InvalidInput: The folder holds something already, or cannot be made.
    """
    if data_dir is None:
        return Path(tempfile.mkdtemp(prefix="embedloop-demo-"))
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        used = any(data_dir.iterdir())
    except OSError as error:
        raise InvalidInput(f"data_dir must be a folder: {error}", field="data_dir") from error
    if used:
        raise InvalidInput(f"data_dir must be new or empty, {data_dir} is not", field="data_dir")
    return data_dir
