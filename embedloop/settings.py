"""Addresses, limits and timeouts of a deployment, read from `EMBEDLOOP_*` variables."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One class for every process; the embedded stack and production differ only in these values."""

    model_config = SettingsConfigDict(
        env_prefix="EMBEDLOOP_", extra="ignore", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Path("./embedloop-data")
    database_url: str = ""
    milvus_uri: str = "http://127.0.0.1:19530"
    milvus_token: SecretStr = SecretStr("")
    broker_url: str = "redis://127.0.0.1:6379/0"
    model_store: str = ""
    secret_key: SecretStr = SecretStr("")
    admin_key: Annotated[SecretStr, Field(min_length=32)] | None = None
    heartbeat_file: Path | None = None

    llm_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    llm_key: SecretStr = SecretStr("")
    llm_model: str = ""
    llm_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0

    encoder_backend: Annotated[str, Field(pattern="^(onnx|torch)$")] = "onnx"
    encoder_threads: Annotated[int, Field(ge=1, le=256)] = 2
    embed_threads: Annotated[int, Field(ge=1, le=256)] = 2
    embed_niceness: Annotated[int, Field(ge=0, le=19)] = 10
    names_model: str = "en_core_web_sm"
    encode_batch_size: Annotated[int, Field(ge=1, le=1024)] = 32

    max_batch: Annotated[int, Field(ge=1, le=1024)] = 32
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    max_queue: Annotated[int, Field(ge=1)] = 256
    max_queue_ms: Annotated[float, Field(gt=0)] = 250.0
    search_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    milvus_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    broker_timeout_seconds: Annotated[float, Field(gt=0)] = 3.0
    wait_applied_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    max_request_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024
    max_document_chars: Annotated[int, Field(ge=1000)] = 1_000_000

    replica_poll_seconds: Annotated[float, Field(gt=0)] = 0.25
    replica_lease_seconds: Annotated[float, Field(gt=1)] = 300.0
    promotion_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    job_lease_seconds: Annotated[float, Field(gt=1)] = 30.0
    shard_chars: Annotated[int, Field(ge=1000)] = 512_000
    shard_documents: Annotated[int, Field(ge=1)] = 4000
    beat_seconds: Annotated[float, Field(gt=0)] = 2.0
    sweep_seconds: Annotated[float, Field(gt=0)] = 1800.0
    orphan_seconds: Annotated[float, Field(ge=0)] = 86_400.0

    @cached_property
    def database(self) -> str:
        """URL of the catalog, PostgreSQL or SQLite; SQLite in the data directory unless told otherwise."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'catalog.db').resolve()}"

    @cached_property
    def models(self) -> str:
        """fsspec URL of the folder that holds model versions and training sets."""
        return self.model_store or str((self.data_dir / "models").resolve())

    @cached_property
    def spool_dir(self) -> Path:
        """Folder where a replica spools its retrieval log before the catalog has it."""
        return self.data_dir / "spool"
