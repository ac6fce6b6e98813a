"""What a client installs stays light: the public modules load none of the server's libraries."""

from __future__ import annotations

import json
import subprocess
import sys

TORCH = {"torch", "transformers", "sentence_transformers"}
CLEANING = {
    "trafilatura",
    "lxml",
    "ftfy",
    "datasketch",
    "scipy",
    "py3langid",
    "quotequail",
    "presidio_analyzer",
}
HEAVY = TORCH | CLEANING | {"fastapi", "celery", "pymilvus", "sqlalchemy", "onnxruntime"}


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages in a fresh interpreter after importing the modules."""
    program = f"import {', '.join(modules)}, sys, json; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(result.stdout)}


def test_the_client_side_loads_none_of_the_server() -> None:
    loaded = loaded_by("embedloop", "embedloop.client", "embedloop.langchain", "embedloop.cli")
    assert "embedloop" in loaded
    assert loaded & HEAVY == set()


def test_redacting_a_query_loads_none_of_the_cleaning() -> None:
    assert loaded_by("embedloop.text.redact", "embedloop.ingestion", "service.ingesting") & CLEANING == set()


def test_the_serving_side_loads_no_torch() -> None:
    loaded = loaded_by("embedloop.serving", "embedloop.jobs", "embedloop.supervisor", "workers.app")
    assert {"sqlalchemy", "celery"} <= loaded
    assert loaded & (TORCH | {"fastapi"}) == set()
