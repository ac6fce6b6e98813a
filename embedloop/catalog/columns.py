"""Types of columns that SQLite and PostgreSQL treat alike, and the metadata that every table is part of."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware datetimes on both databases; SQLite has no time zones, so UTC is stored and restored."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# Shards are ranges of ids: both databases must order ids by their bytes, as SQLite does by itself.
DocumentId = String(256).with_variant(String(256, collation="C"), "postgresql")

# Of a training pair: a document's id, or what else names where a text came from.
Source = String(512).with_variant(String(512, collation="C"), "postgresql")

# SQLite counts rows by itself only for a column declared INTEGER PRIMARY KEY.
Seq = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def corpus_column() -> Column[str]:
    return Column("corpus", String(64), ForeignKey("corpora.name", ondelete="CASCADE"), nullable=False)
