"""Searches that go on while the corpus moves between two models: each answer is wholly of one version."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from embedloop.client import Client
from embedloop.client.results import SearchResult
from embedloop.corpus import passages_of
from embedloop.encoder import TOKENIZER_FILE, OnnxEncoder
from embedloop.policy import Chunking
from embedloop.records.documents import Document
from embedloop.supervisor import Stack
from embedloop.text.chunking import Chunker, embedding_text
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, lag, succeeded
from tests.patience import PATIENCE_SECONDS, eventually

SEARCHERS = 4
WRITERS, WRITTEN_BY_ONE = 2, 10
SWAPS = 5
TOP_K = 10
TOLERANCE = 1e-4
QUERIES = [query for query, _ in clinic.questions(0)]
# A narrow model with short passages, a wide one with long ones: nothing of theirs can be mistaken.
NARROW, WIDE = {"max_tokens": 24}, {"max_tokens": 48}


@dataclass(frozen=True)
class Expected:
    """What one index version must answer: passage id -> text, and query -> passage id -> cosine."""

    model_version: str
    texts: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]


@dataclass
class Searches:
    """What the searchers saw."""

    answers: list[tuple[str, SearchResult]] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.answers) + count
        eventually(lambda: len(self.answers) >= wanted, f"{count} more answers")


def test_every_answer_during_swaps_is_wholly_that_of_its_version(
    client: Client, stack: Stack, wider_model: str, new_corpus: NewCorpus
) -> None:
    name = new_corpus(filled=False)
    for document in long_documents():
        client.put_document(name, document.document_id, title=document.title, text=document.text)
    client.put_document(name, "last", text="the last of all", wait_applied=True)
    models = [trained(client, name), trained(client, name, wider_model)]
    assert [client.model(model)["dimension"] for model in models] == [32, 48]

    seen = []
    with searching(stack, name) as searches:
        for swap in range(SWAPS):
            turn = swap % 2
            params = {"model_version": models[turn], "chunking": (NARROW, WIDE)[turn]}
            result = succeeded(client, client.submit_job("reindex", name, params))["result"]
            assert result["promoted"]
            seen.append(result["index_version"])
            searches.wait_for_more(40)

    assert searches.errors == []
    expected = {
        version["id"]: oracle(client, stack, name, version)
        for version in client.index_versions(name)
        if version["id"] in {answer.index_version for _, answer in searches.answers}
    }
    for query, answer in searches.answers:
        check(query, answer, expected[answer.index_version])
    by_version = Counter(answer.index_version for _, answer in searches.answers)
    assert set(seen) <= set(by_version), "each version must have answered"


def test_swaps_are_not_kept_waiting_by_writers_who_never_pause(
    client: Client, stack: Stack, new_corpus: NewCorpus
) -> None:
    name = new_corpus()
    newer = succeeded(client, client.submit_job("reindex", name))["result"]["index_version"]
    with writing(stack, name) as written:
        eventually(lambda: len(written) > 20, "the writers to write")
        older = client.rollback(name)["serving"]
        assert client.promote(name, newer)["previous"] == older
        assert client.rollback(name)["serving"] == older
    eventually(lambda: lag(client, name) == 0, "the serving version to be level with its log")
    last = written[-1]
    answer = client.search(name, last, top_k=len(clinic.TERMS) + WRITERS * WRITTEN_BY_ONE)
    assert last in {hit.text for hit in answer.results}


def long_documents() -> list[Document]:
    """Documents of several passages, with nothing alike in them."""
    generator = np.random.default_rng(5)
    return [
        Document(
            corpus="",
            document_id=f"d{n:02}",
            title=term,
            text=". ".join(" ".join(generator.choice(clinic.WORDS, 9)) for _ in range(8)) + ".",
            metadata={},
            rev=0,
        )
        for n, term in enumerate(clinic.TERMS)
    ]


def trained(client: Client, corpus: str, base_model: str | None = None) -> str:
    """A model version that has passed the corpus' gate; of another base model, if one is named."""
    if base_model is not None:
        client.update_policy(corpus, {"base_model": base_model})
    lines = [*clinic.judged(0, "train"), *clinic.judged(1, "golden", 6)]
    assert list(client.bulk_judgments(corpus, lines))[-1]["summary"]["refused"] == 0
    model: str = succeeded(client, client.submit_job("cycle", corpus))["result"]["model_version"]
    return model


@contextmanager
def searching(stack: Stack, corpus: str) -> Iterator[Searches]:
    """Searches without retries from several threads until the block ends."""
    seen, stop = Searches(), threading.Event()

    def search(number: int) -> None:
        with Client(stack.url, stack.admin_key, retries=0) as own:
            for turn in range(number, 10**9, SEARCHERS):
                if stop.is_set():
                    return
                query = QUERIES[turn % len(QUERIES)]
                try:
                    seen.answers.append((query, own.search(corpus, query, top_k=TOP_K)))
                except Exception as error:
                    seen.errors.append(error)

    threads = [threading.Thread(target=search, args=(n,)) for n in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def writing(stack: Stack, corpus: str) -> Iterator[list[str]]:
    """Writes new texts without a pause until the block ends; yields those that were acknowledged."""
    written: list[str] = []
    stop = threading.Event()

    def write(number: int) -> None:
        with Client(stack.url, stack.admin_key) as own:
            for turn in count():
                if stop.is_set():
                    return
                text = f"cough number {number} {turn}"
                own.put_document(corpus, f"w{number}-{turn % WRITTEN_BY_ONE}", text=text)
                written.append(text)

    with ThreadPoolExecutor(WRITERS) as pool:
        ended = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            yield written
        finally:
            stop.set()
        for one in ended:
            one.result(timeout=PATIENCE_SECONDS)


def oracle(client: Client, stack: Stack, corpus: str, version: Mapping[str, Any]) -> Expected:
    """Computes a version's answers by brute force, with its own model and chunking, off the service."""
    model = client.model(version["model_version"])
    folder = stack.data_dir / "models" / model["id"]
    chunking = Chunking.model_validate(version["chunking"])
    chunker = Chunker.from_tokenizer_file(folder / TOKENIZER_FILE, chunking, model["max_tokens"])
    encoder = OnnxEncoder(folder, max_tokens=model["max_tokens"])
    passages = []
    for identity in [*(d.document_id for d in long_documents()), "last"]:
        stored = client.get_document(corpus, identity)
        passages += passages_of(Document(corpus=corpus, **stored), chunker)
    vectors = encoder.encode_passages([embedding_text(p.title, p.text) for p in passages])
    cosines = encoder.encode_queries(QUERIES) @ vectors.T
    ids = [p.passage_id for p in passages]
    return Expected(
        version["model_version"],
        {p.passage_id: p.text for p in passages},
        {
            query: dict(zip(ids, map(float, row), strict=True))
            for query, row in zip(QUERIES, cosines, strict=True)
        },
    )


def check(query: str, answer: SearchResult, expected: Expected) -> None:
    """The passages, their texts and their scores must be those of the version; equals may change places."""
    scores = expected.scores[query]
    assert answer.model_version == expected.model_version
    assert [hit.text for hit in answer.results] == [expected.texts[hit.passage_id] for hit in answer.results]
    own = [scores[hit.passage_id] for hit in answer.results]
    best = sorted(scores.values(), reverse=True)[:TOP_K]
    np.testing.assert_allclose([hit.score for hit in answer.results], own, atol=TOLERANCE)
    np.testing.assert_allclose(own, best, atol=TOLERANCE)
    assert len({hit.passage_id for hit in answer.results}) == TOP_K
