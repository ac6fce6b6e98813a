"""Keys in the data directory: made once, readable by their owner, stored hashed."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

from sqlalchemy import select

from embedloop.catalog import keys
from embedloop.catalog.database import Database
from embedloop.catalog.tables import api_keys
from embedloop.settings import Settings
from service.keyfiles import ensure_admin_key, key_hash, read_or_create, secret_key


def test_file_is_private_and_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.key"
    assert read_or_create(path, "one") == "one"
    assert read_or_create(path, "two") == "one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["x.key"]


def test_of_several_processes_at_once_one_makes_the_file(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    seen = []

    def run(number: int) -> None:
        start.wait()
        seen.append(read_or_create(tmp_path / "x.key", f"value {number}"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_first_start_makes_an_admin_key_of_which_only_the_hash_is_stored(
    database: Database, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    ensure_admin_key(database, settings)
    ensure_admin_key(database, settings)
    key = (tmp_path / "admin.key").read_text()
    assert key.startswith("el_")
    with database.read() as connection:
        found = keys.by_hash(connection, key_hash(key))
        rows = connection.execute(select(api_keys)).all()
    assert found is not None
    assert (found.role, found.corpora) == ("admin", None)
    assert len(rows) == 1
    assert key not in str(rows)


def test_key_written_before_a_crash_becomes_the_key(database: Database, tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("el_written_before\n")
    ensure_admin_key(database, Settings(data_dir=tmp_path))
    with database.read() as connection:
        assert keys.by_hash(connection, key_hash("el_written_before")) is not None


def test_admin_key_of_the_settings_is_stored_and_written_nowhere(database: Database, tmp_path: Path) -> None:
    given = "el_" + "k" * 40
    ensure_admin_key(database, Settings(data_dir=tmp_path, admin_key=given))  # type: ignore[arg-type]
    with database.read() as connection:
        assert keys.by_hash(connection, key_hash(given)) is not None
    assert not (tmp_path / "admin.key").exists()


def test_secret_of_the_settings_wins_over_the_file(tmp_path: Path) -> None:
    made = secret_key(Settings(data_dir=tmp_path))
    assert secret_key(Settings(data_dir=tmp_path)) == made
    assert secret_key(Settings(data_dir=tmp_path, secret_key="given")) == "given"  # type: ignore[arg-type]
