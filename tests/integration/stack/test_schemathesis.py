"""The service keeps to its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import schemathesis
from hypothesis import strategies as st

from embedloop.client import Client
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import make_corpus
from tests.integration.stack.openapi import closed_document

CORPUS = "described"
EXAMPLES = 8
ACCEPTED = ["2xx", "401", "403", "404", "409"]
# Rules between fields, names of models, signed ids and what a mail is, which no schema can tell.
FURTHER_RULES = ["search_corpus", "submit_job", "add_feedback", "put_document"]
# Besides, names of persons are redacted where Presidio is installed, and nowhere else.
POLICIES = ["create_corpus", "change_policy"]
BULK = ["bulk_documents", "bulk_judgments", "bulk_pairs"]

_line = st.one_of(
    st.builds(lambda n: json.dumps({"id": f"line-{n}", "text": "gout"}), st.integers(0, 3)),
    st.builds(lambda n: json.dumps({"query": "gout", "document_id": "d01", "grade": n}), st.integers(-1, 4)),
    st.dictionaries(st.sampled_from(["id", "op", "text", "query"]), st.text(max_size=3)).map(json.dumps),
    st.text(max_size=5),
)
schemathesis.openapi.media_type(
    "application/x-ndjson", st.lists(_line, max_size=4).map(lambda lines: "\n".join(lines).encode())
)


described = schemathesis.openapi.from_dict(
    closed_document(),
    config=schemathesis.Config.from_dict(
        {
            "request-timeout": 30,
            # They measure time, and so the machine.
            "suppress-health-check": ["all"],
            "generation": {"deterministic": True, "max-examples": EXAMPLES},
            "parameters": {"path.corpus": CORPUS},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                # It sends every request twice more; `test_openapi_answers` asks each route once.
                "ignored_auth": {"enabled": False},
            },
            "operations": [
                {
                    "include-operation-id": FURTHER_RULES,
                    "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400"]}},
                },
                {
                    "include-operation-id": POLICIES,
                    "checks": {
                        "positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "400", "503"]},
                        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
                    },
                },
                # A line is refused, its request is not.
                {"include-operation-id": BULK, "checks": {"negative_data_rejection": {"enabled": False}}},
                # One is covered by the change of a policy, the other has a filter with thousands of shapes.
                {
                    "include-operation-id": ["create_corpus", "search_corpus"],
                    "phases": {"coverage": {"enabled": False}},
                    "generation": {"deterministic": True, "max-examples": 3 * EXAMPLES},
                },
                # The corpus is needed to the end.
                {"include-operation-id": "delete_corpus", "parameters": {"path.corpus": "nobody"}},
            ],
        }
    ),
)


@pytest.fixture(scope="module")
def key(client: Client, base_model: str, new_key: Callable[..., str]) -> str:
    """Allows everything on one corpus, and nothing on those of other tests."""
    make_corpus(client, CORPUS, base_model)
    return new_key("admin", CORPUS)


@described.parametrize()
def test_every_answer_is_one_that_the_document_tells(case: schemathesis.Case, stack: Stack, key: str) -> None:
    case.call_and_validate(base_url=stack.url, headers={"Authorization": f"Bearer {key}"})
