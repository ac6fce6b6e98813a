"""A trial of index settings, ordered as people order it, over the whole stack on Milvus Lite."""

from __future__ import annotations

import pytest

from embedloop.client import Client
from embedloop.errors import InvalidInput
from embedloop.index import MilvusIndex
from embedloop.index_candidates import proposal
from embedloop.supervisor import Stack
from tests.integration.stack.conftest import JOB_SECONDS, NewCorpus, succeeded
from tests.patience import PATIENCE_SECONDS


def scratch(stack: Stack, corpus: str) -> list[str]:
    """The scratch collections of a corpus that are there."""
    index = MilvusIndex(f"http://127.0.0.1:{stack._milvus_port}", timeout_seconds=PATIENCE_SECONDS)
    try:
        return [name for name in index.collections() if f"{corpus.replace('-', '_')}_trial_" in name]
    finally:
        index.close()


def test_a_trial_proposes_from_a_row_for_each_candidate_and_leaves_nothing(
    client: Client, new_corpus: NewCorpus, stack: Stack
) -> None:
    name = new_corpus()
    before = client.corpus(name)
    result = succeeded(client, client.submit_job("index_trial", name, {"queries": 10}))["result"]
    own, *others = result["candidates"]
    assert own["name"] == "float32/FLAT"
    assert own["recall_at_10"] == 1.0
    assert {"float32/HNSW", "float32/IVF_SQ8"} <= {row["name"] for row in others if "refused" not in row}
    refused = {row["name"]: row["refused"] for row in others if "refused" in row}
    assert refused.keys() >= {"float16/HNSW", "int8/HNSW", "binary/FLAT/16", "binary/FLAT/64"}
    assert "cannot do int8; it can do float32" in refused["int8/HNSW"]
    said = proposal(result["candidates"])
    assert (result["proposed"], result["reason"]) == (said.index, said.reason)
    assert (result["rows"], sum(result["queries"].values())) == (20, 10)
    assert result["server"].startswith("Milvus Lite 3.")
    assert scratch(stack, name) == []
    assert client.corpus(name) == before


def test_a_cancelled_trial_leaves_no_collection(client: Client, new_corpus: NewCorpus, stack: Stack) -> None:
    name = new_corpus()
    job = client.submit_job("index_trial", name)
    client.cancel_job(job["id"])
    assert client.wait_for_job(job["id"], JOB_SECONDS)["state"] == "cancelled"
    assert scratch(stack, name) == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"rows": 99}, "params.rows"),
        ({"rows": 100_001}, "params.rows"),
        ({"rows": "many"}, "params.rows"),
        ({"queries": 9}, "params.queries"),
        ({"queries": 1001}, "params.queries"),
        ({"promote": True}, "params.promote"),
    ],
)
def test_params_out_of_bounds_are_refused_by_name(
    client: Client, new_corpus: NewCorpus, params: dict[str, object], field: str
) -> None:
    name = new_corpus(wait=False, filled=False)
    with pytest.raises(InvalidInput) as refusal:
        client.submit_job("index_trial", name, params)
    assert refusal.value.field == field
