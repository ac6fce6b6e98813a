"""Whether training is worth it: the limits of what it could bring, and the rule that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

ORACLE_DEPTH = 100
MIN_RELATIVE_UPLIFT = 0.05
# Below this many labels a full fine-tune has more to forget than to learn.
ADAPTER_LABELS = 300
# A vocabulary that cuts words into so many pieces was not made for this language.
STRANGE_TOKENS_PER_WORD = 4.0
SCRATCH_PASSAGES = 50_000


class Verdict(StrEnum):
    USE_AS_IS = "use_as_is"
    ADAPTER = "adapter"
    FINE_TUNE = "fine_tune"
    FROM_SCRATCH = "from_scratch"


@dataclass(frozen=True, slots=True)
class Signs:
    """What the verdict rests on; scores are nDCG@10, 0..1, greater is better.

    Attributes:
        baseline: Of the serving model.
        bm25: Of search by words.
        oracle: Of the serving model's first 100 documents, put into the best order.
        labels: Positive judgments that may be trained on.
        needed_labels: How many a training needs at least.
        expected: Expected gain over `baseline` with these labels; None when it could not be extrapolated.
        tokens_per_word: Of the model's own tokenizer on the corpus.
        passages: In the corpus.
    """

    baseline: float
    bm25: float
    oracle: float
    labels: int
    needed_labels: int
    expected: float | None
    tokens_per_word: float
    passages: int


@dataclass(frozen=True, slots=True)
class Advice:
    """The verdict and its reason in words."""

    verdict: Verdict
    reason: str


def advise(signs: Signs) -> Advice:
    """Says what to do with a model; below 5% expected relative uplift that is: do not tune.

    >>> from dataclasses import replace
    >>> good = Signs(0.60, 0.50, 0.90, 4000, 50, expected=0.10, tokens_per_word=1.3, passages=6000)
    >>> advise(good)
    Advice(verdict=<Verdict.FINE_TUNE: 'fine_tune'>, reason='4000 labels promise +16.7%')
    >>> advise(replace(good, labels=120)).verdict.value
    'adapter'
    >>> advise(replace(good, expected=0.02)).reason
    'do not tune: 4000 labels promise +3.3%, less than 5%'
    >>> advise(replace(good, baseline=0.88)).reason
    'do not tune: the best order of the first 100 documents would bring +2.3%, less than 5%'
    >>> advise(replace(good, labels=10, expected=None)).reason
    'do not tune yet: 10 labels, at least 50 are needed'
    >>> strange = replace(good, baseline=0.2, tokens_per_word=5.5, passages=200_000)
    >>> advise(strange).verdict.value
    'from_scratch'
    >>> advise(replace(strange, passages=6000)).verdict.value
    'fine_tune'
    """
    room = relative(signs.oracle - signs.baseline, signs.baseline)
    least = f"{MIN_RELATIVE_UPLIFT:.0%}"
    if room < MIN_RELATIVE_UPLIFT:
        return Advice(
            Verdict.USE_AS_IS,
            f"do not tune: the best order of the first {ORACLE_DEPTH} documents would bring {room:+.1%}, less "
            f"than {least}",
        )
    if _is_strange(signs):
        return Advice(
            Verdict.FROM_SCRATCH,
            f"the model cuts a word into {signs.tokens_per_word:.1f} tokens and finds less than half of what "
            f"words alone find, and {signs.passages} passages can teach a new one",
        )
    if signs.labels < signs.needed_labels:
        reason = f"do not tune yet: {signs.labels} labels, at least {signs.needed_labels} are needed"
        return Advice(Verdict.USE_AS_IS, reason)
    if signs.expected is None:
        return Advice(
            Verdict.USE_AS_IS, f"do not tune yet: {signs.labels} labels are too few to extrapolate from"
        )
    promised = relative(signs.expected, signs.baseline)
    if promised < MIN_RELATIVE_UPLIFT:
        reason = f"do not tune: {signs.labels} labels promise {promised:+.1%}, less than {least}"
        return Advice(Verdict.USE_AS_IS, reason)
    if signs.labels < ADAPTER_LABELS:
        reason = f"{signs.labels} labels promise {promised:+.1%}; below {ADAPTER_LABELS} a linear map is safer"
        return Advice(Verdict.ADAPTER, reason)
    return Advice(Verdict.FINE_TUNE, f"{signs.labels} labels promise {promised:+.1%}")


def relative(gain: float, baseline: float) -> float:
    """The gain as a share of the baseline; of a baseline of 0, any gain is all there is.

    >>> relative(0.03, 0.6), relative(0.1, 0.0), relative(0.0, 0.0)
    (0.05, 1.0, 0.0)
    """
    if baseline <= 0:
        return 1.0 if gain > 0 else 0.0
    return gain / baseline


def _is_strange(signs: Signs) -> bool:
    return (
        signs.tokens_per_word > STRANGE_TOKENS_PER_WORD
        and signs.passages >= SCRATCH_PASSAGES
        and signs.baseline < signs.bm25 / 2
    )


def oracle_order(
    run: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]], depth: int = ORACLE_DEPTH
) -> dict[str, list[str]]:
    """The first `depth` documents of each query in the best order: what no re-ranking of them can beat.

    >>> oracle_order({"q": ["a", "b", "c"]}, {"q": {"c": 1, "b": 2}})
    {'q': ['b', 'c', 'a']}
    """
    return {
        query: sorted(ranked[:depth], key=lambda document: -qrels.get(query, {}).get(document, 0))
        for query, ranked in run.items()
    }
