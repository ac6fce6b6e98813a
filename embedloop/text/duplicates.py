"""Near duplicates: word shingles, MinHash keys to find candidates by, and the similarity that decides."""

from __future__ import annotations

import unicodedata
import zlib
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedloop.errors import MissingExtra
from embedloop.text.words import words

SHINGLE_WORDS = 3
BANDS = 16
ROWS = 8
# A constant of what is stored: other permutations give other keys.
SEED = 1

Shingles = NDArray[np.uint32]


def shingles(text: str) -> Shingles:
    """Hash each run of three words; case, punctuation, blanks and compatibility forms do not matter.

    Returns:
        `(n,)` uint32, sorted, each once; empty for a text without words.
    """
    found = words(unicodedata.normalize("NFKC", text).casefold())
    runs = [" ".join(found[i : i + SHINGLE_WORDS]) for i in range(max(1, len(found) - SHINGLE_WORDS + 1))]
    hashed = (zlib.crc32(run.encode("utf-8", "surrogatepass")) for run in runs if run)
    return np.unique(np.fromiter(hashed, dtype=np.uint32))


def band_keys(of: Shingles) -> list[str]:
    """Name the buckets in which a text meets its near duplicates (MinHash, Broder 1997; banding as in LSH).

    Two texts of similarity s share a key with probability 1 - (1 - s^8)^16: 0.95 at 0.81, 0.999 at 0.9, 0.02
    at 0.4.

    Returns:
        16 keys of 18 characters; none for a text without words.

    Raises:
        MissingExtra: datasketch is not installed.
    """
    if not len(of):
        return []
    sketch = _blank_sketch().copy()
    sketch.update_batch([shingle.tobytes() for shingle in of])
    rows = sketch.hashvalues.astype("<u8").reshape(BANDS, ROWS)
    return [f"{band:02x}{blake2b(row.tobytes(), digest_size=8).hexdigest()}" for band, row in enumerate(rows)]


def similarity(one: Shingles, other: Shingles) -> float:
    """Jaccard similarity, 0..1: the share of shingles that both have; greater is nearer.

    >>> similarity(shingles("gout is painful"), shingles("Gout is  painful!"))
    1.0
    """
    if not len(one) or not len(other):
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


@cache
def _blank_sketch() -> Any:
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise MissingExtra("finding near duplicates needs datasketch: pip install 'embedloop[core]'") from error
    return MinHash(num_perm=BANDS * ROWS, seed=SEED)
