"""Bulk uploads of labels, NDJSON both ways: judgments of documents, and pairs and triplets of texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from embedloop.catalog import corpora
from embedloop.errors import Conflict, EmbedloopError, InvalidInput
from embedloop.feedback import ImportedJudgment, import_judgments
from embedloop.lineage import import_source
from embedloop.pair_import import ImportedPair, import_pairs
from embedloop.records.documents import Corpus
from embedloop.records.labels import Split
from service.ndjson import Line, NdjsonAnswer
from service.openapi import line_body, lines, refusals
from service.outputs_documents import JudgmentAnswer, JudgmentSummary
from service.routing import Running, StreamedRoute, Writer, keyed_router
from service.schemas import IMPORT_PATTERN, JudgmentIn, PairIn
from service.state import Service
from service.validation import checked_document_id, validated
from service.writing import require_corpus

router: APIRouter = keyed_router("documents", StreamedRoute)

T = TypeVar("T")
Answer = dict[str, Any]
Store = Callable[[Corpus, Sequence[T]], list[Conflict | None]]

UNNAMED = "api"
Name = Annotated[
    str | None,
    Query(alias="import", pattern=IMPORT_PATTERN, description="Names the import in the lineage of each label."),
]
FirstLine = Annotated[
    int,
    Query(ge=1, le=10**12, description="Number of the body's first line in the import, for its lineage."),
]
_ANSWERS = lines(
    "One answer to each line, in their order, while the body still comes; then a summary.",
    JudgmentAnswer,
    JudgmentSummary,
    example=[{"line": 1, "status": "stored"}, {"summary": {"lines": 1, "stored": 1, "refused": 0}}],
) | refusals(403, 404)


@router.post(
    "/corpora/{corpus}/judgments:bulk",
    status_code=200,
    response_class=NdjsonAnswer,
    operation_id="bulk_judgments",
    summary="Store labels in bulk",
    openapi_extra=line_body(
        JudgmentIn, [{"query": "painful big toe", "document_id": "gout", "grade": 3, "split": "golden"}]
    ),
    responses=_ANSWERS,
)
async def put_judgments(
    corpus: str,
    request: Request,
    caller: Writer,
    service: Running,
    name: Name = None,
    first_line: FirstLine = 1,
) -> Response:
    """Stores labels line by line; a split that contradicts the one fixed at first sight is refused."""
    caller.require_corpus(corpus)

    def read(line: Line) -> ImportedJudgment:
        body = validated(JudgmentIn, line.value or {})
        source = None if name is None else _source(name, first_line, line)
        return ImportedJudgment(
            body.query, checked_document_id(body.document_id), body.grade, body.split, source
        )

    def store(record: Corpus, labels: Sequence[ImportedJudgment]) -> list[Conflict | None]:
        return import_judgments(service.database, record, labels)

    return await _answer(service, corpus, request, read, store)


@router.post(
    "/corpora/{corpus}/pairs:bulk",
    status_code=200,
    response_class=NdjsonAnswer,
    operation_id="bulk_pairs",
    summary="Store pairs and triplets in bulk",
    openapi_extra=line_body(
        PairIn, [{"anchor": "how do I reset it?", "positive": "Hold the button for ten seconds."}]
    ),
    responses=_ANSWERS,
)
async def put_pairs(
    corpus: str,
    request: Request,
    caller: Writer,
    service: Running,
    name: Name = None,
    first_line: FirstLine = 1,
) -> Response:
    """Stores texts that answer an anchor or do not, line by line; they train and are never searched.

    The same anchor and text again replaces the label. A label on a document of the corpus is a judgment.
    """
    caller.require_corpus(corpus)

    def read(line: Line) -> ImportedPair:
        body = validated(PairIn, line.value or {})
        if body.positive is None and not body.negatives:
            raise InvalidInput("a pair needs a positive or negatives", field="positive")
        source = _source(name or UNNAMED, first_line, line)
        split = None if body.split is None else Split(body.split)
        return ImportedPair(body.anchor, body.positive, tuple(body.negatives), split, source)

    def store(record: Corpus, labels: Sequence[ImportedPair]) -> list[Conflict | None]:
        return import_pairs(service.database, record, labels)

    return await _answer(service, corpus, request, read, store)


async def _answer(
    service: Service, corpus: str, request: Request, read: Callable[[Line], T], store: Store[T]
) -> Response:
    await run_in_threadpool(require_corpus, service, corpus)
    counts: Counter[str] = Counter(lines=0, stored=0, refused=0)

    async def handle(chunk: Sequence[Line]) -> list[Answer]:
        answers = await run_in_threadpool(_stored, service, corpus, chunk, read, store)
        counts.update(lines=len(answers))
        counts.update(answer["status"] for answer in answers)
        return answers

    async def summarise() -> Answer:
        return dict(counts)

    return NdjsonAnswer(request, handle, summarise, max_line_bytes=4 * service.settings.max_document_chars)


def _stored(
    service: Service, corpus: str, chunk: Sequence[Line], read: Callable[[Line], T], store: Store[T]
) -> list[Answer]:
    answers: dict[int, Answer] = {}
    valid: list[tuple[Line, T]] = []
    for line in chunk:
        try:
            if line.error is not None or line.value is None:
                raise line.error or InvalidInput("a line must be an object")
            valid.append((line, read(line)))
        except EmbedloopError as error:
            answers[line.number] = line.refused(error)
    if valid:
        with service.database.read() as connection:
            record = corpora.get(connection, corpus)
        outcomes = store(record, [label for _, label in valid])
        for (line, _), refused in zip(valid, outcomes, strict=True):
            told = {"line": line.number, "status": "stored"}
            answers[line.number] = told if refused is None else line.refused(refused)
    return [answers[line.number] for line in chunk]


def _source(name: str, first_line: int, line: Line) -> str:
    return import_source(name, first_line + line.number - 1)
