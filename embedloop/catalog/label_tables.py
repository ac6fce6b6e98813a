"""The SQL tables of what people said and of what is learnt from it. Migrations mirror them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from embedloop.catalog.columns import (
    DocumentId,
    Source,
    UtcDateTime,
    corpus_column,
    metadata,
)

training_sets = Table(
    "training_sets",
    metadata,
    Column("training_set_id", String(64), primary_key=True),
    Column("corpus", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("counts", JSON, nullable=False),
    Column("path", Text, nullable=False),
    Column("report", JSON, nullable=False, server_default="{}"),
    Column("created_at", UtcDateTime, nullable=False),
)

# No foreign keys: what a model was trained on stays told when its corpus is gone.
training_pairs = Table(
    "training_pairs",
    metadata,
    Column("training_set_id", String(64), primary_key=True),
    Column("pair_id", String(32), primary_key=True),
    Column("query_key", String(64), nullable=False),
    Column("document_id", Source, nullable=False),
    Column("split", String(8), nullable=False),
)

training_sources = Table(
    "training_sources",
    metadata,
    Column("training_set_id", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("source", Source, primary_key=True),
    Column("pair_id", String(32), primary_key=True),
    Index("ix_training_sources_kind_source", "kind", "source"),
    Index("ix_training_sources_training_set_id_pair_id", "training_set_id", "pair_id"),
)

removals = Table(
    "removals",
    metadata,
    Column("removal_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("corpus", String(64)),
    Column("removed", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # Null until a later look has taken what was on its way, and what an attempt that broke off had left.
    Column("settled_at", UtcDateTime),
)

# What is kept of removed data, so that it is known again: hashes of persons and texts, ids of documents.
removal_marks = Table(
    "removal_marks",
    metadata,
    Column("removal_id", String(64), ForeignKey("removals.removal_id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("mark", DocumentId, primary_key=True),
)

retrievals = Table(
    "retrievals",
    metadata,
    Column("retrieval_id", String(64), primary_key=True),
    corpus_column(),
    Column("query", Text, nullable=False),
    Column("person", String(256), nullable=False),
    Column("index_version_id", String(64), nullable=False),
    Column("model_id", String(64), nullable=False),
    Column("shown", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_retrievals_corpus_at", "corpus", "at"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("feedback_id", String(64), primary_key=True),
    Column("retrieval_id", String(64), nullable=False),
    corpus_column(),
    Column("signal", String(16), nullable=False),
    Column("document_id", DocumentId),
    Column("passage_id", String(64)),
    Column("person", String(256), nullable=False),
    Column("comment", Text),
    Column("pending", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_feedback_retrieval_id", "retrieval_id"),
    Index("ix_feedback_corpus_at", "corpus", "at"),
)

queries = Table(
    "queries",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("query_key", String(64), primary_key=True),
    Column("query", Text, nullable=False),
    Column("split", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

split_groups = Table(
    "split_groups",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("name", DocumentId, primary_key=True),
    Column("stratum", String(300), nullable=False),
    Column("split", String(8), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_split_groups_corpus_stratum", "corpus", "stratum"),
)

# Buckets in which near duplicates meet.
query_bands = Table(
    "query_bands",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("band", String(18), primary_key=True),
    Column("query_key", String(64), primary_key=True),
)

# Labelled texts that are no documents; the anchor is the query of the key.
imported_pairs = Table(
    "imported_pairs",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("query_key", String(64), primary_key=True),
    Column("text_key", String(32), primary_key=True),
    Column("text", Text, nullable=False),
    Column("relevant", Boolean, nullable=False),
    Column("source", Source, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

judgments = Table(
    "judgments",
    metadata,
    Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), primary_key=True),
    Column("query_key", String(64), primary_key=True),
    Column("document_id", DocumentId, primary_key=True),
    Column("source", String(16), primary_key=True),
    Column("grade", Integer, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_judgments_corpus_document_id", "corpus", "document_id"),
)
