"""Keys: known or not, what they may see and do, and a catalog that is away."""

from __future__ import annotations

import pytest

from embedloop.catalog import keys
from embedloop.catalog.database import Database, now
from embedloop.errors import Forbidden, NotFound, Unauthorised, Unavailable
from embedloop.records.service import ApiKey
from service import auth
from service.auth import Caller, KeyRing
from service.keyfiles import key_hash

KEY = "el_test"


@pytest.fixture
def ring(database: Database) -> KeyRing:
    with database.write() as connection:
        keys.add(connection, key_id="k", key_hash=key_hash(KEY), label="l", role="writer", corpora=["mine"])
    return KeyRing(database, grace_seconds=60)


def hide_keys(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO away")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic el_test", "Bearer el_other", "el_test"]
)
async def test_anything_but_a_known_bearer_key_is_refused(ring: KeyRing, header: str | None) -> None:
    with pytest.raises(Unauthorised):
        await ring.caller(header)


async def test_known_key_is_accepted_whatever_the_case_of_its_scheme(ring: KeyRing) -> None:
    assert (await ring.caller(f"bearer {KEY}")).key.key_id == "k"


async def test_accepted_key_stays_accepted_while_the_catalog_is_away(
    ring: KeyRing, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ring.caller(f"Bearer {KEY}")
    hide_keys(database)
    monkeypatch.setattr(auth, "FRESH_SECONDS", 0.0)
    assert (await ring.caller(f"Bearer {KEY}")).key.key_id == "k"
    with pytest.raises(Unavailable):
        await ring.caller("Bearer el_new")


async def test_grace_ends(database: Database, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    graceless = KeyRing(database, grace_seconds=0)
    await graceless.caller(f"Bearer {KEY}")
    hide_keys(database)
    monkeypatch.setattr(auth, "FRESH_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await graceless.caller(f"Bearer {KEY}")


def caller(role: str, corpora: list[str] | None) -> Caller:
    return Caller(ApiKey("k", "l", role, corpora, now()))


def test_corpus_of_another_key_is_not_found() -> None:
    assert caller("admin", None).require_corpus("any") == "any"
    assert caller("reader", ["mine"]).require_corpus("mine") == "mine"
    with pytest.raises(NotFound):
        caller("admin", ["mine"]).require_corpus("other")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("admin", {"reader", "writer", "admin"}),
        ("writer", {"reader", "writer"}),
        ("reader", {"reader"}),
        ("unknown", {"reader"}),
    ],
)
def test_role_allows_itself_and_what_is_below(role: str, allowed: set[str]) -> None:
    for needed in ("reader", "writer", "admin"):
        if needed in allowed:
            caller(role, None).require_role(needed)
        else:
            with pytest.raises(Forbidden):
                caller(role, None).require_role(needed)
