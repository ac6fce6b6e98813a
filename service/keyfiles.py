"""Secrets in the data directory: created once, whoever comes first, and readable by their owner only."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from embedloop.catalog import keys
from embedloop.catalog.database import Database
from embedloop.settings import Settings

ADMIN_KEY_FILE = "admin.key"
SECRET_KEY_FILE = "secret.key"


def read_or_create(path: Path, value: str) -> str:
    """What the file holds; if there is none, creates it (mode 600) with `value`, wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, fails where another process was first.
            os.link(scratch, path)
        except FileExistsError:
            return path.read_text().strip()
        finally:
            os.unlink(scratch)
    return path.read_text().strip()


def secret_key(settings: Settings) -> str:
    """The key that signs retrieval ids: from the settings, or a file of the data directory."""
    given = settings.secret_key.get_secret_value()
    return given or read_or_create(settings.data_dir / SECRET_KEY_FILE, secrets.token_hex(32))


def key_hash(key: str) -> str:
    """SHA-256 of an API key; keys are 256 bits of randomness, so that no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def ensure_admin_key(database: Database, settings: Settings) -> None:
    """Gives a catalog without keys its first one; only its hash is stored.

    The key is that of the settings, or one made here and written to `admin.key`.
    """
    with database.read() as connection:
        if keys.count(connection):
            return
    if settings.admin_key is None:
        key = read_or_create(settings.data_dir / ADMIN_KEY_FILE, f"el_{secrets.token_urlsafe(32)}")
    else:
        key = settings.admin_key.get_secret_value()
    try:
        with database.write() as connection:
            if not keys.count(connection):
                digest = key_hash(key)
                keys.add(
                    connection,
                    key_id=f"k-{digest[:16]}",
                    key_hash=digest,
                    label="admin",
                    role="admin",
                    corpora=None,
                )
    except IntegrityError:
        # Another replica stored the same file's key between the look and the insert.
        return
