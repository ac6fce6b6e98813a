"""A corpus that nobody has labelled: its words and passages make a candidate, which is gated and swapped in."""

from __future__ import annotations

from embedloop.client import Client
from tests.integration.stack import clinic
from tests.integration.stack.conftest import NewCorpus, succeeded

ADAPTATION = {"new_terms": 50, "min_documents": 2, "objective": "mlm", "batch_size": 8, "max_steps": 2}


def test_corpus_without_labels_is_adapted_gated_and_swapped_in(client: Client, new_corpus: NewCorpus) -> None:
    name = new_corpus(training={"adaptation": ADAPTATION})
    list(client.bulk_judgments(name, clinic.judged(1, "golden", 6)))
    result = succeeded(client, client.submit_job("cycle", name))["result"]
    assert result["promoted"]
    metrics = client.model(result["model_version"])["metrics"]
    (record,) = metrics["course"]
    assert record["vocabulary"]["before"]["kept_whole"] < record["vocabulary"]["after"]["kept_whole"]
    assert record["learning"]["steps"] == 2
    assert (metrics["steps"], metrics["pairs"]["train"]) == (0, 0)
    answer = client.search(name, "epistaxis", top_k=3)
    assert answer.model_version == result["model_version"]
    assert answer.results[0].document_id == "d00"
