"""Files on the server that a recipe names: read whole, within bounds, and never shown to whoever named them."""

from __future__ import annotations

from pathlib import Path

from embedloop.errors import TrainingFailed

MOST_BYTES = 256 << 20


def read_lines(path: Path, field: str) -> list[str]:
    """The lines of a UTF-8 file; `field` of the policy named it.

    Raises:
        TrainingFailed: There is no such file, it is too large, or no UTF-8 text.
    """
    try:
        if not path.is_file():
            raise TrainingFailed(f"{field}: {path} cannot be read: there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise TrainingFailed(f"{field} must be at most {MOST_BYTES} bytes, {path} is larger")
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingFailed(f"{field}: {path} cannot be read as UTF-8 text") from error
