"""Builds the general set: `python -m training.wordnet.build /usr/share/wordnet` (Debian's `wordnet-base`).

Queries are example sentences and words, documents are the glosses of their meanings, both from WordNet 3.0
(Fellbaum 1998), whose licence lies beside this file and allows redistribution with it. The synsets of the
judged queries and those of the training pairs are disjoint. The same WordNet and seed give the same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedloop.errors import InvalidInput
from embedloop.text.normalise import query_key

SEED = 13
QUERIES = 300
DOCUMENTS = 600
PAIRS = 3000
TARGET = Path(__file__).with_name("general.json.gz")

_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")
# No team wants to read these in its training data, and no measure needs them.
_UNWANTED = re.compile(
    r"offensive|vulgar|obscen|disparag|slur|ethnic|derogat|genital|sexual|racial", re.IGNORECASE
)
_EXAMPLE = re.compile(r'"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words, what it means, and sentences that use it."""

    identity: str
    words: tuple[str, ...]
    gloss: str
    examples: tuple[str, ...]


def read_synsets(folder: Path) -> list[Synset]:
    """Reads WordNet's data files, in their order.

    Raises:
        InvalidInput: A file is missing.
    """
    found: list[Synset] = []
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            raise InvalidInput(
                f"WordNet's data files, Debian's wordnet-base, must be in the folder, found no {path}"
            )
        found += [synset for line in path.read_text("utf-8").splitlines() if (synset := _synset(line))]
    return found


def _synset(line: str) -> Synset | None:
    if line.startswith(" ") or " | " not in line:  # the licence at the top of each file
        return None
    head, text = line.split(" | ", 1)
    fields = head.split()
    # Word count is hexadecimal; a marker of position such as (a) may follow an adjective.
    count = int(fields[3], 16)
    words = tuple(re.sub(r"\(.+\)$", "", word).replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
    gloss = _EXAMPLE.split(text)[0].strip(" ;-")
    examples = tuple(example.strip() for example in _EXAMPLE.findall(text))
    return Synset(f"{fields[2]}{fields[0]}", words, gloss, examples)


def _usable(synset: Synset) -> bool:
    whole = " ".join((synset.gloss, *synset.words, *synset.examples))
    return len(synset.gloss.split()) >= 5 and not _UNWANTED.search(whole)


def _questions(synset: Synset) -> Iterator[str]:
    """What could ask for this meaning: sentences of a fair length, words that its gloss does not hold."""
    yield from (example for example in synset.examples if 4 <= len(example.split()) <= 20)
    yield from (word for word in synset.words if len(word) > 3 and word.lower() not in synset.gloss.lower())


def build(synsets: Sequence[Synset], seed: int = SEED) -> dict[str, Any]:
    """Chooses queries, documents and pairs; JSON-ready, as `training.general` reads it.

    Half of the judged queries are sentences, half are words. A query that names two meanings is left out.
    """
    generator = random.Random(seed)
    usable = [one for one in synsets if _usable(one)]
    generator.shuffle(usable)
    seen: dict[str, int] = {}
    for one in usable:
        for question in {query_key(text) for text in _questions(one)}:
            seen[question] = seen.get(question, 0) + 1
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    chosen: list[Synset] = []
    rest: list[Synset] = []
    room = {True: QUERIES // 2, False: QUERIES - QUERIES // 2}
    for one in usable:
        clear = [text for text in _questions(one) if seen[query_key(text)] == 1]
        asked = next((text for text in clear if room[text in one.examples] > 0), None)
        if asked is None:
            rest.append(one)
            continue
        room[asked in one.examples] -= 1
        queries[one.identity] = asked
        qrels[one.identity] = {one.identity: 1}
        chosen.append(one)
    others = rest[: DOCUMENTS - len(chosen)]
    documents = {one.identity: one.gloss for one in sorted([*chosen, *others], key=lambda one: one.identity)}
    return {
        "source": "WordNet 3.0, Copyright 2006 by Princeton University; see LICENSE-wordnet.txt",
        "seed": seed,
        "queries": dict(sorted(queries.items())),
        "documents": documents,
        "qrels": dict(sorted(qrels.items())),
        "pairs": _pairs(rest[len(others) :], seen),
    }


def _pairs(synsets: Sequence[Synset], seen: dict[str, int]) -> list[list[str]]:
    """[synset, question, gloss] of meanings that are neither asked for nor ranked."""
    pairs: list[list[str]] = []
    for one in synsets:
        asked = next((text for text in _questions(one) if seen[query_key(text)] == 1), None)
        if asked is not None:
            pairs.append([one.identity, asked, one.gloss])
        if len(pairs) == PAIRS:
            break
    return pairs


def main(arguments: Sequence[str]) -> int:
    """Writes `general.json.gz` beside this file; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m training.wordnet.build FOLDER", file=sys.stderr)
        return 2
    content = json.dumps(build(read_synsets(Path(arguments[0]))), ensure_ascii=False, separators=(",", ":"))
    # No name and no time in the header, so that the same content is the same file.
    with TARGET.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(content.encode())
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
