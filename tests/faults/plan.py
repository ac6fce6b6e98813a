"""What a run does, step by step, decided before it begins: the same seed gives the same plan.

Hypothesis' strategies make the operations, for it is good at texts and repetitions that people do not think of.
Its state machine does not drive them: it would cut a run off at its buffer of choices (some hundred steps),
run it again and again to shrink what depends on the moment of a kill, and could not promise a number of kills.
So the operations are drawn as plain values with a seed, and a driver carries them out once. A plan names
documents by slots and index versions by what they are, not by ids, so that it can be carried out whatever
became of the steps before. What a seed cannot give again is the timing of the processes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.faults.model import Content
from tests.integration.stack import clinic

T = TypeVar("T")

# Ids with everything that a path, a query string or a filter could choke on.
HOSTILE = ("a/b", "..", "what?x=1#y", "per%2Fcent", 'quo"te\\', "ünïcode", "  spaces  ", "dir/../up")
SLOTS = (*(f"d{n:02}" for n in range(32)), *HOSTILE)
MODELS = 3
SIGNALS = ("up", "down", "click", "none_relevant")
PARTS = ("service", "service-2", "apply", "apply-2", "default", "train", "embed-1", "embed-2", "beat")
STORES = ("milvus", "valkey")
_OPERATIONS_PER_DRAW = 20
# A re-embed takes some seconds: kills fall anywhere into it.
LONGEST_DELAY_MS = 6000
# A promotion or a rollback alone takes less than a second.
MOVE_MS = 700
LONGEST_PAUSE_MS = 400


@dataclass(frozen=True, slots=True)
class Put:
    """Stores a document; `applied` waits until searches see it."""

    slot: int
    content: Content
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """Stores what is there already, once more."""

    slot: int


@dataclass(frozen=True, slots=True)
class Delete:
    slot: int


@dataclass(frozen=True, slots=True)
class Bulk:
    """One upload of several lines; a line without content deletes."""

    lines: tuple[tuple[int, Content | None], ...]


@dataclass(frozen=True, slots=True)
class Read:
    slot: int


@dataclass(frozen=True, slots=True)
class Search:
    query: str
    top_k: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Searches and gives feedback on the answer; `rank` is taken modulo the number of hits."""

    query: str
    rank: int
    signal: str


@dataclass(frozen=True, slots=True)
class Reembed:
    """Submits a re-embed with one of the models and a chunking; without `promote` its version stays ready."""

    model: int
    narrow: bool
    promote: bool


@dataclass(frozen=True, slots=True)
class Promote:
    """Promotes by hand what is ready, or what served before."""


@dataclass(frozen=True, slots=True)
class Rollback:
    pass


@dataclass(frozen=True, slots=True)
class Kill:
    """kill -9 of a part so many milliseconds from now, in the middle of whatever goes on then."""

    part: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Zombie:
    """SIGSTOP of a worker of this queue in the middle of a write; SIGCONT when its lease is another's."""

    queue: str


Light = Put | Repeat | Delete | Bulk | Read | Search | Judge
Event = Reembed | Promote | Rollback | Kill | Zombie
Step = Light | Event


@dataclass(frozen=True, slots=True)
class Round:
    """Steps between two settlings, and the pause before each: work in the background needs its time."""

    steps: tuple[Step, ...]
    pauses_ms: tuple[int, ...]


# What happens beside the light steps; every second round or so moves the corpus.
_ROUNDS: Sequence[tuple[Event, ...]] = (
    (Reembed(1, True, True),),
    (Reembed(1, False, True), Zombie("embed")),
    (Reembed(2, False, False), Promote()),
    (Rollback(),),
    (),
    (Reembed(0, True, False),),
    (Promote(),),
    (Zombie("apply"),),
    (Reembed(2, True, True), Rollback()),
    (),
)

_words = st.sampled_from([*clinic.WORDS, *(w for term in clinic.TERMS for w in term.split())])
_phrase = st.lists(_words, min_size=1, max_size=6).map(" ".join)
_strange = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
_text = st.one_of(
    st.lists(_words, min_size=1, max_size=60).map(" ".join),
    st.builds("{} {}".format, _phrase, _strange),
)
_content = st.builds(Content, title=st.one_of(st.just(""), _phrase), text=_text)
_slot = st.integers(0, len(SLOTS) - 1)
_line = st.tuples(_slot, st.one_of(_content, _content, st.none()))
_WEIGHTED: Sequence[tuple[int, SearchStrategy[Light]]] = (
    (5, st.builds(Put, slot=_slot, content=_content)),
    (1, st.builds(Put, slot=_slot, content=_content, applied=st.just(True))),
    (1, st.builds(Repeat, slot=_slot)),
    (4, st.builds(Delete, slot=_slot)),
    (2, st.builds(Bulk, lines=st.lists(_line, min_size=1, max_size=12).map(tuple))),
    (2, st.builds(Read, slot=_slot)),
    (4, st.builds(Search, query=_phrase, top_k=st.sampled_from((1, 3, 10, 200)))),
    (3, st.builds(Judge, query=_phrase, rank=st.integers(0, 9), signal=st.sampled_from(SIGNALS))),
)
_kinds = st.sampled_from([strategy for weight, strategy in _WEIGHTED for _ in range(weight)])
operation: SearchStrategy[Light] = _kinds.flatmap(lambda strategy: strategy)


def drawn(strategy: SearchStrategy[T], seed: int, count: int) -> list[T]:
    """The first `count` values that a strategy gives for a seed."""
    lists: list[list[T]] = []
    # The first example of a run is the simplest there is, which is the same for all seeds.
    runs = 1 - (-count // _OPERATIONS_PER_DRAW)

    @seeded(seed)
    @settings(
        max_examples=runs,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(strategy, min_size=_OPERATIONS_PER_DRAW, max_size=_OPERATIONS_PER_DRAW))
    def collect(example: list[T]) -> None:
        lists.append(example)

    collect()
    found = [one for example in lists[1:] for one in example]
    # Hypothesis may give less than it was asked for, when it finds nothing new.
    return [found[n % len(found)] for n in range(count)]


def plan(seed: int, steps: int, kills: int, *, round_steps: int, parts: Sequence[str]) -> list[Round]:
    """The rounds of a run.

    Args:
        seed: Decides everything.
        steps: In all.
        kills: How many of the steps kill; each part has its turn.
        round_steps: Steps between two settlings.
        parts: What may be killed.
    """
    chance = random.Random(seed)
    sizes = [min(round_steps, steps - begin) for begin in range(0, steps, round_steps)]
    events: list[list[Event]] = [
        [_varied(event, chance) for event in _ROUNDS[n % len(_ROUNDS)]] for n in range(len(sizes))
    ]
    for n, part in enumerate(_turns(parts, kills, chance)):
        # Spread evenly, so that each round has its share.
        beside = events[n * len(sizes) // kills]
        longest = LONGEST_DELAY_MS if any(isinstance(e, Reembed) for e in beside) else MOVE_MS
        beside.append(Kill(part, chance.randrange(longest)))
    light = iter(drawn(operation, seed, steps))
    return [_round(size, made, light, chance) for size, made in zip(sizes, events, strict=True)]


def _round(size: int, events: Sequence[Event], light: Iterator[Light], chance: random.Random) -> Round:
    steps: list[Step] = [next(light) for _ in range(max(0, size - len(events)))]
    # Together, so that a kill falls into what was started; early, so that most light steps do too.
    begin = chance.randint(0, len(steps) // 2)
    steps[begin:begin] = events
    longest = LONGEST_PAUSE_MS if events else LONGEST_PAUSE_MS // 10
    return Round(tuple(steps), tuple(chance.randrange(longest) for _ in steps))


def _varied(event: Event, chance: random.Random) -> Event:
    if isinstance(event, Reembed):
        return replace(event, model=chance.randrange(MODELS), narrow=chance.random() < 0.5)
    return event


def _turns(parts: Sequence[str], kills: int, chance: random.Random) -> list[str]:
    turns: list[str] = []
    while len(turns) < kills:
        turns += chance.sample(parts, len(parts))
    return turns[:kills]


def counted(rounds: Sequence[Round]) -> Mapping[str, int]:
    """How often each kind of step is in a plan."""
    found: dict[str, int] = {}
    for step in (step for one in rounds for step in one.steps):
        name = type(step).__name__.lower()
        found[name] = found.get(name, 0) + 1
    return found
