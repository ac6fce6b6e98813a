"""Splits of documents and texts, and the buckets of near duplicate queries, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, select, tuple_, update

from embedloop.catalog.database import now
from embedloop.catalog.dialect import insert_or_ignore
from embedloop.catalog.label_tables import queries, query_bands, split_groups
from embedloop.records.labels import Split
from embedloop.slices import slices

DOCUMENT = "document"
TEXT = "text"
VALUES_PER_STATEMENT = 400

GroupName = tuple[str, str]


def groups(connection: Connection, corpus: str, names: Sequence[GroupName]) -> dict[GroupName, Split]:
    """The splits fixed for these groups (kind, name)."""
    table, found = split_groups, {}
    for part in slices(names, VALUES_PER_STATEMENT):
        statement = select(table.c.kind, table.c.name, table.c.split).where(
            table.c.corpus == corpus, tuple_(table.c.kind, table.c.name).in_(part)
        )
        found.update({(row.kind, row.name): Split(row.split) for row in connection.execute(statement)})
    return found


def groups_by_stratum(connection: Connection, corpus: str, strata: Collection[str]) -> dict[str, int]:
    """How many groups each of these strata has so far."""
    table = split_groups
    statement = (
        select(table.c.stratum, func.count().label("number"))
        .where(table.c.corpus == corpus, table.c.stratum.in_(sorted(strata)))
        .group_by(table.c.stratum)
    )
    return {row.stratum: row.number for row in connection.execute(statement)} if strata else {}


def add_groups(connection: Connection, corpus: str, rows: Sequence[tuple[str, str, str, Split]]) -> None:
    """Stores (kind, name, stratum, split); a group that has a split keeps it."""
    stored = [
        {
            "corpus": corpus,
            "kind": kind,
            "name": name,
            "stratum": stratum,
            "split": split.value,
            "created_at": now(),
        }
        for kind, name, stratum, split in rows
    ]
    insert_or_ignore(connection, split_groups, stored)


def add_bands(connection: Connection, corpus: str, bands: Mapping[str, Sequence[str]]) -> None:
    """Stores the buckets of queries: key -> buckets."""
    rows = [
        {"corpus": corpus, "band": band, "query_key": key} for key, named in bands.items() for band in named
    ]
    insert_or_ignore(connection, query_bands, rows)


def sharing_bands(
    connection: Connection, corpus: str, bands: Mapping[str, Sequence[str]]
) -> list[tuple[str, str, Split]]:
    """Queries of the corpus that share a bucket with one of these, each once: (key, query, split)."""
    found: dict[str, tuple[str, str, Split]] = {}
    for part in slices(sorted({band for named in bands.values() for band in named}), VALUES_PER_STATEMENT):
        statement = (
            select(queries.c.query_key, queries.c.query, queries.c.split)
            .join(
                query_bands,
                (query_bands.c.corpus == queries.c.corpus) & (query_bands.c.query_key == queries.c.query_key),
            )
            .where(query_bands.c.corpus == corpus, query_bands.c.band.in_(part))
            .distinct()
        )
        for row in connection.execute(statement):
            found[row.query_key] = (row.query_key, row.query, Split(row.split))
    return [found[key] for key in sorted(found)]


def restore_text(connection: Connection, corpus: str, texts: Mapping[str, str]) -> None:
    """Gives queries whose text was removed with a person's data the text in which somebody else asks them."""
    blank = [
        row.query_key
        for part in slices(sorted(texts), VALUES_PER_STATEMENT)
        for row in connection.execute(
            select(queries.c.query_key).where(
                queries.c.corpus == corpus, queries.c.query_key.in_(part), queries.c.query == ""
            )
        )
    ]
    if blank:
        connection.execute(
            update(queries)
            .where(queries.c.corpus == corpus, queries.c.query_key == bindparam("key"))
            .values(query=bindparam("text")),
            [{"key": key, "text": texts[key]} for key in blank],
        )


def queries_in(connection: Connection, corpus: str, split: Split) -> list[str]:
    """The texts of all queries of a split, whatever is judged on them."""
    statement = select(queries.c.query).where(
        queries.c.corpus == corpus, queries.c.split == split.value, queries.c.query != ""
    )
    return list(connection.execute(statement.order_by(queries.c.query_key)).scalars())
