"""The language model adapter against an HTTP server that speaks as OpenAI's API does."""

from __future__ import annotations

from typing import Any

import pytest

from embedloop.errors import DeadlineExceeded, EmbedloopError, Misconfigured, Unavailable
from embedloop.settings import Settings
from tests.fake_language_model import completion, serving
from workers.answering import answerer_of


def settings(port: int, **more: Any) -> Settings:
    return Settings(llm_url=f"http://127.0.0.1:{port}/v1", llm_model="small", **more)


def ask(chosen: Settings) -> str:
    with answerer_of(chosen) as answerer:
        assert answerer is not None
        return answerer.answer("when does it end?", ["The lease ends in May.", "Other"])


def test_the_question_is_asked_with_its_passages_and_the_key() -> None:
    with serving(lambda body: (200, completion("in May"))) as server:
        assert ask(settings(server.server_port, llm_key="s3cret")) == "in May"
    ((path, key, body),) = server.seen
    assert (path, key) == ("/v1/chat/completions", "Bearer s3cret")
    assert (body["model"], body["temperature"]) == ("small", 0)
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    asked = body["messages"][-1]["content"]
    assert "[1] The lease ends in May.\n\n[2] Other" in asked
    assert asked.endswith("Question: when does it end?")


def test_without_a_key_none_is_sent() -> None:
    with serving(lambda body: (200, completion("in May"))) as server:
        ask(settings(server.server_port))
    assert server.seen[0][1] is None


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (503, b"busy", Unavailable),
        (429, b"{}", Unavailable),
        (401, b'{"error": "no such key"}', Misconfigured),
        (404, b"", Misconfigured),
        (200, b"<html>", Misconfigured),
        (200, b'{"choices": []}', Misconfigured),
        (200, b'{"choices": [{"message": {"content": null}}]}', Misconfigured),
        (200, b"[]", Misconfigured),
    ],
)
def test_an_answer_that_is_none_is_told_in_our_words(
    status: int, answer: bytes, error: type[EmbedloopError]
) -> None:
    with serving(lambda body: (status, answer)) as server, pytest.raises(error, match="language model"):
        ask(settings(server.server_port))


def test_a_model_that_hangs_is_given_up() -> None:
    with serving(lambda body: (200, b"{}")) as server:
        server.hold.clear()
        with pytest.raises(DeadlineExceeded):
            ask(settings(server.server_port, llm_timeout_seconds=0.2))


def test_a_model_that_is_away_is_unavailable() -> None:
    with serving(lambda body: (200, b"{}")) as server:
        port = server.server_port
    with pytest.raises(Unavailable):
        ask(settings(port))


def test_none_is_asked_unless_one_is_named() -> None:
    with answerer_of(Settings()) as answerer:
        assert answerer is None
    with pytest.raises(Misconfigured, match="EMBEDLOOP_LLM_MODEL"), answerer_of(Settings(llm_url="http://x")):
        pass
