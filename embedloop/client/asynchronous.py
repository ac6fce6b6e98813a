"""The asynchronous client: the same calls as the blocking one."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx
from httpx_sse import EventSource, SSEError

from embedloop.client import bulk, calls, wire
from embedloop.client.results import Json
from embedloop.client.waiting import JobWatch
from embedloop.client.wire import Call
from embedloop.errors import EmbedloopError, Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class _Method(Generic[P, T]):
    """Makes a description of a call into a coroutine method, with the same signature and docstring."""

    def __init__(self, describe: Callable[P, Call[T]]):
        self._describe = describe

    @overload
    def __get__(self, client: None, owner: type[AsyncClient]) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type[AsyncClient]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(
        self, client: AsyncClient | None, owner: type[AsyncClient]
    ) -> Callable[P, Call[T]] | Callable[P, Coroutine[Any, Any, T]]:
        if client is None:
            return self._describe

        @functools.wraps(self._describe)
        async def perform(*args: P.args, **kwargs: P.kwargs) -> T:
            return await client.send(self._describe(*args, **kwargs))

        return perform


class AsyncClient:
    """`Client` with coroutines; to be used within one event loop.

    Args:
        base_url: Such as `http://127.0.0.1:8080`.
        api_key: Sent as a bearer token.
        timeout_seconds: For connecting, and for each silence while an answer is awaited.
        retries: As in `Client`.
        transport: Another way to reach the service, for tests.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout_seconds: float = 30.0,
        *,
        retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ):
        self.base_url = wire.address(base_url)
        self._timeout_seconds = timeout_seconds
        self._retries = retries
        self._http = httpx.AsyncClient(
            headers=wire.authorisation(api_key),
            timeout=timeout_seconds,
            verify=wire.tls_context(),
            transport=transport,
        )

    create_corpus = _Method(calls.create_corpus)
    corpus = _Method(calls.corpus)
    corpora = _Method(calls.corpora)
    update_policy = _Method(calls.update_policy)
    delete_corpus = _Method(calls.delete_corpus)
    put_document = _Method(calls.put_document)
    get_document = _Method(calls.get_document)
    delete_document = _Method(calls.delete_document)
    search = _Method(calls.search)
    feedback = _Method(calls.feedback)
    delete_feedback = _Method(calls.delete_feedback)
    submit_job = _Method(calls.submit_job)
    job = _Method(calls.job)
    jobs = _Method(calls.jobs)
    cancel_job = _Method(calls.cancel_job)
    pause_job = _Method(calls.pause_job)
    resume_job = _Method(calls.resume_job)
    approve_job = _Method(calls.approve_job)
    reject_job = _Method(calls.reject_job)
    models = _Method(calls.models)
    model = _Method(calls.model)
    model_card = _Method(calls.model_card)
    training_pairs = _Method(calls.training_pairs)
    forget = _Method(calls.forget)
    removals = _Method(calls.removals)
    removal = _Method(calls.removal)
    index_versions = _Method(calls.index_versions)
    difference = _Method(calls.difference)
    promote = _Method(calls.promote)
    rollback = _Method(calls.rollback)
    embeddings = _Method(calls.embeddings)
    ready = _Method(calls.ready)

    def bulk_documents(
        self,
        corpus: str,
        documents: Iterable[Mapping[str, Any]],
        *,
        wait_applied: bool = False,
        dry_run: bool = False,
    ) -> AsyncIterator[Json]:
        """See `Client.bulk_documents`."""
        return self._bulk(
            bulk.batches(documents, dry_run=dry_run),
            lambda lines, _: calls.documents_batch(corpus, lines, wait_applied=wait_applied, dry_run=dry_run),
        )

    def bulk_judgments(
        self, corpus: str, judgments: Iterable[Mapping[str, Any]], *, import_name: str | None = None
    ) -> AsyncIterator[Json]:
        """See `Client.bulk_judgments`."""
        return self._bulk(
            bulk.batches(judgments),
            lambda lines, first: calls.judgments_batch(
                corpus, lines, import_name=import_name, first_line=first
            ),
        )

    def bulk_pairs(
        self, corpus: str, pairs: Iterable[Mapping[str, Any]], *, import_name: str | None = None
    ) -> AsyncIterator[Json]:
        """See `Client.bulk_pairs`."""
        return self._bulk(
            bulk.batches(pairs),
            lambda lines, first: calls.pairs_batch(corpus, lines, import_name=import_name, first_line=first),
        )

    async def _bulk(
        self, requests: Iterable[bytes], describe: Callable[[bytes, int], Call[list[Json]]]
    ) -> AsyncIterator[Json]:
        """Sends one request after another, each described by its lines and the number of the first."""
        answers = bulk.Answers()
        for lines in requests:
            for line in answers.take(await self.send(describe(lines, answers.next_line))):
                yield line
        yield answers.summary()

    async def job_events(self, job_id: str) -> AsyncIterator[Json]:
        """See `Client.job_events`."""
        request = calls.job_events(job_id).request(self.base_url, self._timeout_seconds)
        with wire.translated(self.base_url):
            async with self._http.stream(**request) as response:
                if not response.is_success:
                    raise wire.failure(response.status_code, None, await response.aread())
                try:
                    async for event in EventSource(response).aiter_sse():
                        if event.event == "progress":
                            yield event.json()
                except (SSEError, ValueError) as error:
                    raise EmbedloopError(
                        f"job {job_id} was answered with other than events: {error}"
                    ) from error

    async def wait_for_job(
        self,
        job_id: str,
        timeout_seconds: float = 3600.0,
        on_progress: Callable[[Json], None] | None = None,
    ) -> Json:
        """See `Client.wait_for_job`."""
        watch = JobWatch(job_id, timeout_seconds, on_progress)
        while True:
            try:
                job = await self.job(job_id)
            except Unavailable:
                pass  # a service that restarts goes on with its jobs; the deadline bounds the wait
            else:
                if watch.ended(job):
                    return job
            await asyncio.sleep(watch.next_pause())

    async def send(self, call: Call[T]) -> T:
        """Perform one call, and again where that is right."""
        attempt = 0
        while True:
            try:
                with wire.translated(self.base_url):
                    response = await self._http.request(**call.request(self.base_url, self._timeout_seconds))
                return call.read(response.status_code, response.headers, response.content)
            except EmbedloopError as error:
                pause = wire.pause_before_retry(
                    call, error, attempt=attempt, retries=self._retries, longest=self._timeout_seconds
                )
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            attempt += 1

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
