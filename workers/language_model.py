"""A language model behind an OpenAI-shaped API, where the settings name one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from embedloop.errors import DeadlineExceeded, Misconfigured, Unavailable
from embedloop.settings import Settings

_MOST_TOKENS = 400
_TRIED_LATER = frozenset({408, 409, 425, 429, *range(500, 600)})


class OpenAiModel:
    """A `training.language_model.LanguageModel` that asks `POST {url}/chat/completions`."""

    def __init__(self, client: httpx.Client, name: str) -> None:
        self._client = client
        self._name = name

    @property
    def name(self) -> str:
        """The model's name, as its server knows it."""
        return self._name

    def complete(self, system: str, user: str) -> str:
        """Asks once, with temperature 0.

        Raises:
            DeadlineExceeded: No answer within the timeout.
            Unavailable: It does not answer, or is busy.
            Misconfigured: It refuses the request for good, or answers in another shape.
        """
        body = {
            "model": self._name,
            "temperature": 0,
            "max_tokens": _MOST_TOKENS,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        }
        try:
            response = self._client.post("chat/completions", json=body)
        except httpx.TimeoutException as error:
            raise DeadlineExceeded("the language model did not answer in time") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"the language model does not answer: {error}") from error
        return _content(response)


@contextmanager
def language_model_of(settings: Settings) -> Iterator[OpenAiModel | None]:
    """The language model of `EMBEDLOOP_LLM_URL` and `EMBEDLOOP_LLM_MODEL`, None where none is named.

    Raises:
        Misconfigured: There is a URL and no model.
    """
    if not settings.llm_url:
        yield None
        return
    if not settings.llm_model:
        raise Misconfigured("EMBEDLOOP_LLM_URL is set, EMBEDLOOP_LLM_MODEL must name a model of it")
    key = settings.llm_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    base = settings.llm_url.rstrip("/") + "/"
    with httpx.Client(base_url=base, headers=headers, timeout=settings.llm_timeout_seconds) as client:
        yield OpenAiModel(client, settings.llm_model)


def _content(response: httpx.Response) -> str:
    if response.status_code in _TRIED_LATER:
        raise Unavailable(f"the language model answered {response.status_code}")
    if not response.is_success:
        raise Misconfigured(f"the language model answered {response.status_code}: {response.text[:200]}")
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Misconfigured("the language model's answer has no choices[0].message.content") from error
    if not isinstance(content, str):
        raise Misconfigured(f"the language model's answer must be text, got {type(content).__name__}")
    return content
