"""How much is measured: the full sizes, and the small ones of a smoke test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

SEED = 13
TOP_K = 10
CLIENTS = (1, 8, 32)
# Offered load of the open loop, as shares of what the same service reached with the most clients.
OPEN_SHARES = (0.5, 0.8, 1.0, 1.3, 2.0)


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """Sizes of the search benchmark.

    Attributes:
        terms: Documents of the corpus.
        warm_up_seconds: Load before each measured level.
        least_requests: A closed level measures at least so many searches,
        least_seconds: and at least so long,
        most_seconds: but never longer than this.
        open_seconds: Length of an open-loop level.
        timeout_seconds: When a client gives a search up.
        floor_requests: Searches of the bare parts.
    """

    terms: int = 6000
    warm_up_seconds: float = 4.0
    least_requests: int = 1000
    least_seconds: float = 15.0
    most_seconds: float = 60.0
    open_seconds: float = 15.0
    timeout_seconds: float = 10.0
    floor_requests: int = 1024

    @classmethod
    def quick(cls) -> SearchPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(
            terms=300,
            warm_up_seconds=1.0,
            least_requests=50,
            least_seconds=2.0,
            most_seconds=4.0,
            open_seconds=3.0,
            timeout_seconds=4.0,
            floor_requests=64,
        )


@dataclass(frozen=True, slots=True)
class ReembedPlan:
    """Sizes of the re-embed benchmark.

    Attributes:
        terms: Documents of the corpus at the end.
        first_terms: Documents at the first look on memory.
        idle_seconds: How long the stack rests before it is looked at.
        rate: Searches a second while a job runs.
        before_seconds: How long the same searches run before it.
        abstracts: Documents of the second corpus, whose passages are long.
    """

    terms: int = 6000
    first_terms: int = 2000
    idle_seconds: float = 10.0
    rate: float = 5.0
    before_seconds: float = 40.0
    abstracts: int = 1000

    @classmethod
    def quick(cls) -> ReembedPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(terms=300, first_terms=100, idle_seconds=2.0, before_seconds=4.0, abstracts=40)


@dataclass(frozen=True, slots=True)
class TrainingSpeedPlan:
    """Sizes of the training speed benchmark.

    Attributes:
        terms: Documents that pairs and queries come from.
        pairs: Training pairs.
        held_out: Queries that the trained models are compared on.
        pool: Documents that those queries are ranked against.
        repeats: Trainings of each kind, each with a seed of its own.
    """

    terms: int = 6000
    pairs: int = 1000
    held_out: int = 200
    pool: int = 1000
    repeats: int = 2

    @classmethod
    def quick(cls) -> TrainingSpeedPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(terms=600, pairs=128, held_out=40, pool=200, repeats=1)


@dataclass(frozen=True, slots=True)
class SetSizes:
    """How much of a data set is taken; None takes all.

    Attributes:
        passages: All judged documents of the chosen queries, and random others up to so many.
        train: Most training queries.
        dev: Most dev queries.
        test: Most test queries.
        seconds: Time budget of our training on it; mining and merging do not count.
    """

    passages: int | None = None
    train: int | None = None
    dev: int | None = None
    test: int | None = None
    seconds: float = 3600.0


def _sizes() -> dict[str, SetSizes]:
    # A passage of 200 words takes as long as ten terms: of the sets of passages, what two cores encode thrice.
    return {
        "hpo": SetSizes(passages=6000, seconds=190),
        "medquad": SetSizes(passages=2000, train=700, dev=100, test=300, seconds=90),
        "legal_contracts": SetSizes(passages=2000, seconds=90),
        "scifact": SetSizes(passages=2000, seconds=90),
        "hinglish_top": SetSizes(seconds=160),
    }


def _elsewhere_sizes() -> dict[str, SetSizes]:
    return {
        "hpo": SetSizes(passages=800, train=10, dev=10, test=200),
        "scifact": SetSizes(passages=300, train=10, dev=10, test=150),
    }


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Sizes of the training benchmark.

    Attributes:
        sizes: Set -> how much of it is taken.
        elsewhere: Set -> how much is taken of it where models of other sets are measured.
        general_queries: Of the general set; None takes all.
        max_steps: Most steps of our training; None leaves it to the recipe.
    """

    sizes: Mapping[str, SetSizes] = field(default_factory=_sizes)
    elsewhere: Mapping[str, SetSizes] = field(default_factory=_elsewhere_sizes)
    general_queries: int | None = None
    max_steps: int | None = None

    @classmethod
    def quick(cls) -> TrainingPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        small = SetSizes(passages=120, train=48, dev=10, test=20)
        sizes = dict.fromkeys(_sizes(), small) | {"hpo": replace(small, passages=400)}
        elsewhere = dict.fromkeys(_elsewhere_sizes(), small) | {"hpo": sizes["hpo"]}
        return cls(sizes, elsewhere, general_queries=20, max_steps=2)

    @classmethod
    def whole(cls) -> TrainingPlan:
        """Every passage and query of every set: for a GPU, or a night."""
        return cls(dict.fromkeys(_sizes(), SetSizes()))


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """Sizes of the soak.

    Attributes:
        minutes: How long the load lasts.
        terms: Documents that are there from the begin on.
        window_seconds: Time between two looks.
        searches: A second.
        writes: A second: new documents, changes and deletes.
        feedback: Signals a second.
        training_pairs: Labels that the cycle trains on.
        golden_queries: Labels that its gate reads.
    """

    minutes: float = 30.0
    terms: int = 2000
    window_seconds: float = 5.0
    searches: float = 10.0
    writes: float = 1.0
    feedback: float = 1.0
    training_pairs: int = 800
    golden_queries: int = 100

    @classmethod
    def quick(cls) -> SoakPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(
            minutes=2.0,
            terms=300,
            window_seconds=2.0,
            searches=5.0,
            training_pairs=64,
            golden_queries=20,
        )


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """Sizes of the scale benchmark.

    Attributes:
        first: Documents at the first look on memory.
        documents: Documents at the end.
        idle_seconds: How long the stack rests before it is looked at.
    """

    first: int = 25_000
    documents: int = 100_000
    idle_seconds: float = 5.0

    @classmethod
    def quick(cls) -> ScalePlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(first=500, documents=2000, idle_seconds=1.0)


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """Sizes of the swap benchmark.

    Attributes:
        terms: Documents of each corpus at the begin.
        clients: Each has one search under way at most.
        period_seconds: A client sends no sooner than this after its last search.
        queries: Different queries that they ask.
        calm_seconds: Load without a swap before each swap.
        tiny_writes: A second, with the tiny models.
        real_writes: A second, with the real ones.
        tiny_standing: Swaps between the two versions that stand, after each of the four re-embeds.
        real_standing: The same with the real models, after each of the two; an odd number.
        training_pairs: Labels that the models are tuned on.
        golden_queries: Labels that their gate reads.
    """

    terms: int = 600
    clients: int = 16
    period_seconds: float = 0.25
    queries: int = 200
    calm_seconds: float = 4.0
    tiny_writes: float = 50.0
    real_writes: float = 5.0
    tiny_standing: int = 4
    real_standing: int = 9
    training_pairs: int = 320
    golden_queries: int = 20

    @classmethod
    def quick(cls) -> SwapPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(
            terms=60,
            queries=40,
            calm_seconds=1.0,
            tiny_standing=2,
            real_standing=1,
            training_pairs=32,
            golden_queries=10,
        )


def _road_sizes() -> dict[str, SetSizes]:
    # Every road trains and encodes anew: what two cores do in about a minute a road.
    return {
        "xquad_hi": SetSizes(),
        "hpo": SetSizes(passages=1500, train=1000, dev=150, test=300),
        "hinglish_top": SetSizes(passages=1500, train=1000, dev=150, test=300),
    }


@dataclass(frozen=True, slots=True)
class RoadsPlan:
    """Sizes of the roads benchmark.

    Attributes:
        sizes: Set -> how much of it is taken.
        max_steps: Most steps of a training; None leaves it to the recipe.
    """

    sizes: Mapping[str, SetSizes] = field(default_factory=_road_sizes)
    max_steps: int | None = None

    @classmethod
    def quick(cls) -> RoadsPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        small = SetSizes(passages=60, train=24, dev=8, test=16)
        return cls(sizes=dict.fromkeys(_road_sizes(), small), max_steps=2)


@dataclass(frozen=True, slots=True)
class VectorTypesPlan:
    """Sizes of the benchmark of vector types.

    Attributes:
        terms: Documents that are encoded.
        rows: Vectors in each collection: those of the documents, then mixtures of two.
        queries: Searches of each type.
    """

    terms: int = 6000
    rows: int = 20_000
    queries: int = 300

    @classmethod
    def quick(cls) -> VectorTypesPlan:
        return cls(terms=300, rows=1500, queries=30)


def _export_sizes() -> dict[str, SetSizes]:
    # Passages of ten words, and of two hundred.
    return {
        "hpo": SetSizes(passages=3000, train=300, dev=100, test=1000),
        "scifact": SetSizes(passages=1000, train=100, dev=50, test=300),
    }


@dataclass(frozen=True, slots=True)
class ExportsPlan:
    """Sizes of the benchmark of exported forms.

    Attributes:
        sizes: Set -> how much of it is taken.
        threads: Of each form.
    """

    sizes: Mapping[str, SetSizes] = field(default_factory=_export_sizes)
    threads: int = 2

    @classmethod
    def quick(cls) -> ExportsPlan:
        """Sizes at which everything runs once, and no figure means anything."""
        return cls(sizes=dict.fromkeys(_export_sizes(), SetSizes(passages=60, train=24, dev=8, test=16)))
