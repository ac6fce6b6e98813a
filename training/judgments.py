"""From votes to judgments: who counts, how much, and when it is enough."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from embedloop.policy import Votes
from embedloop.records.feedback import Signal, Vote
from embedloop.records.labels import Judgment, JudgmentSource
from embedloop.text.normalise import query_key
from training.propensity import Propensity

_DAY_SECONDS = 86400.0
# Of two labels on the same query and document the stronger one stays.
_STRENGTH = {JudgmentSource.IMPORT: 2, JudgmentSource.FEEDBACK: 1, JudgmentSource.CLICKS: 0}

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class AggregatedJudgment:
    """A label made of several people's votes; grade 1 is relevant, 0 is not; `sources` are feedback ids.

    `by_clicks` says that people's thumbs and corrections alone do not decide it: such a label may train, it
    never measures.
    """

    query: str
    document_id: str
    grade: int
    sources: tuple[str, ...]
    by_clicks: bool = False


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Judgments ordered by query key and document id, and what was counted on the way to them.

    Of the signals: `votes` in all, `counted`, and left out because they were `about_no_document`, `too_old`,
    `over_person_cap`, `over_session_cap`, `repeated` by the same person, or clicks with `too_few_impressions`.
    Of the (query, document) pairs: `judged_relevant`, `judged_wrong`, `judged_by_clicks` (among these),
    `undecided` for want of weight or people, `conflicts` where people disagreed, `conflicts_undecided` of them.
    """

    judgments: Sequence[AggregatedJudgment]
    counts: Mapping[str, int]


def aggregate(
    votes: Iterable[Vote],
    policy: Votes,
    *,
    at: datetime | None = None,
    propensity: Propensity | None = None,
    impressions: Mapping[Key, int] | None = None,
) -> Aggregation:
    """Turns votes into judgments, each person counting once per query and document.

    A person's latest thumb or correction counts; their latest click counts only where there is neither, so
    that opening a document again never weakens an earlier thumb. Where thumbs and corrections decide by
    themselves, no number of clicks changes that; elsewhere clicks are added. A document that nobody took is not
    judged: an unclicked passage is no negative. `none_relevant` says nothing about one document and yields
    nothing.

    Args:
        votes: Votes in any order; queries are the same when their `query_key` is.
        policy: Weights, caps, and what makes a judgment.
        at: The moment from which ages are counted; None is that of the newest vote.
        propensity: What a click at each rank counts; None takes all ranks alike.
        impressions: (query key, document id) -> how often it was shown; None takes all as shown often enough.

    >>> from datetime import datetime
    >>> def vote(person, signal, day):
    ...     at = datetime(2026, 1, day)
    ...     return Vote(f"{person}{day}", "dry eye", "D1", signal, person, rank=1, at=at)
    >>> aggregate([vote("ann", Signal.UP, 1), vote("bob", Signal.CLICK, 2)], Votes()).judgments[0].sources
    ('ann1', 'bob2')
    >>> aggregate([vote("ann", Signal.UP, 1), vote("ann", Signal.DOWN, 2)], Votes()).judgments[0].grade
    0
    >>> aggregate([vote("ann", Signal.UP, 1), vote("bob", Signal.DOWN, 2)], Votes()).counts["conflicts"]
    1
    """
    counts: Counter[str] = Counter()
    given = sorted(votes, key=_age)
    at = at or (given[-1].at if given else None)
    usable = list(_usable(given, policy, at, impressions, counts))
    # Apart, so that a person's clicks never push out what they said.
    clicks = [vote for vote in usable if vote.signal is Signal.CLICK]
    said = [vote for vote in usable if vote.signal is not Signal.CLICK]
    kept = [*_within_caps(said, policy, counts), *_within_caps(clicks, policy, counts)]
    grouped: dict[Key, list[Vote]] = defaultdict(list)
    for vote in kept:
        grouped[query_key(vote.query), vote.document_id].append(vote)
    judgments = []
    for (_, document_id), group in sorted(grouped.items()):
        counted = _one_per_person(group)
        counts["repeated"] += len(group) - len(counted)
        weights = [(vote, _weight(vote, policy, at, propensity)) for vote in counted]
        by_thumbs = _grade([weight for vote, weight in weights if vote.signal is not Signal.CLICK], policy)
        grade = by_thumbs if by_thumbs is not None else _grade([weight for _, weight in weights], policy)
        _count(grade, by_thumbs, [weight for _, weight in weights], counts)
        if grade is not None:
            sources = tuple(vote.feedback_id for vote in counted)
            judgments.append(
                AggregatedJudgment(counted[0].query, document_id, grade, sources, by_thumbs is None)
            )
    counts["votes"] = len(given)
    counts["counted"] = len(kept) - counts["repeated"]
    return Aggregation(judgments, dict(sorted(counts.items())))


def strongest(judgments: Iterable[Judgment]) -> tuple[list[Judgment], int]:
    """Leaves of labels on the same query and document that disagree the one that was said most plainly.

    An imported label wins over thumbs, thumbs over clicks; labels that agree all stay, with their lineage.

    Returns:
        Judgments in their order, and how many (query, document) had labels that disagreed.
    """
    grouped: dict[Key, list[Judgment]] = {}
    for one in judgments:
        grouped.setdefault((query_key(one.query), one.document_id), []).append(one)
    kept: list[Judgment] = []
    conflicts = 0
    for group in grouped.values():
        best = max(group, key=lambda one: _STRENGTH[JudgmentSource(one.source)])
        agreeing = [one for one in group if (one.grade > 0) == (best.grade > 0)]
        conflicts += len(agreeing) < len(group)
        kept += agreeing
    return kept, conflicts


def _age(vote: Vote) -> tuple[datetime, str]:
    return vote.at, vote.feedback_id


def _usable(
    votes: Sequence[Vote],
    policy: Votes,
    at: datetime | None,
    impressions: Mapping[Key, int] | None,
    counts: Counter[str],
) -> Iterator[Vote]:
    oldest = None
    if at is not None and policy.max_age_days is not None:
        oldest = at - timedelta(days=policy.max_age_days)
    for vote in votes:
        if vote.signal is Signal.NONE_RELEVANT:
            counts["about_no_document"] += 1
        elif oldest is not None and vote.at < oldest:
            counts["too_old"] += 1
        elif vote.signal is Signal.CLICK and _shown(vote, impressions) < policy.min_impressions:
            counts["too_few_impressions"] += 1
        else:
            yield vote


def _shown(vote: Vote, impressions: Mapping[Key, int] | None) -> float:
    # Where nothing was counted, the click itself tells of one.
    return math.inf if impressions is None else impressions.get((query_key(vote.query), vote.document_id), 1)


def _within_caps(votes: Sequence[Vote], policy: Votes, counts: Counter[str]) -> Iterator[Vote]:
    """The newest signals of each person, of the whole and of each visit, up to the caps."""
    by_person: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_person[vote.person].append(vote)
    for given in by_person.values():
        allowed = [vote for visit in _visits(given, policy) for vote in visit[-policy.max_per_session :]]
        kept = allowed[-policy.max_per_person :]
        counts["over_session_cap"] += len(given) - len(allowed)
        counts["over_person_cap"] += len(allowed) - len(kept)
        yield from kept


def _visits(votes: Sequence[Vote], policy: Votes) -> Iterator[list[Vote]]:
    """One person's votes, oldest first, cut where nothing came for a while."""
    gap = timedelta(seconds=policy.session_gap_seconds)
    visit: list[Vote] = []
    for vote in votes:
        if visit and vote.at - visit[-1].at > gap:
            yield visit
            visit = []
        visit.append(vote)
    if visit:
        yield visit


def _one_per_person(votes: Sequence[Vote]) -> list[Vote]:
    strongest: dict[str, Vote] = {}
    for vote in sorted(votes, key=lambda vote: (vote.signal != Signal.CLICK, *_age(vote))):
        strongest[vote.person] = vote
    return sorted(strongest.values(), key=_age)


def _weight(vote: Vote, policy: Votes, at: datetime | None, propensity: Propensity | None) -> float:
    """What one signal weighs now; negative against the document."""
    weight = {
        Signal.UP: policy.up,
        Signal.CORRECT: policy.correct,
        Signal.CLICK: policy.click,
        Signal.DOWN: -policy.down,
    }[vote.signal]
    if vote.signal is Signal.CLICK and propensity is not None:
        weight *= propensity.weight(vote.rank, policy.max_click_boost)
    if policy.half_life_days is not None and at is not None:
        age_days = max(0.0, (at - vote.at).total_seconds() / _DAY_SECONDS)
        weight *= 0.5 ** (age_days / policy.half_life_days)
    return weight


def _grade(weights: Sequence[float], policy: Votes) -> int | None:
    """1, 0, or None where people do not say enough, or not the same."""
    # fsum: ten clicks of 0.1 must reach 1.0
    total = math.fsum(weights)
    winners = sum((weight > 0) == (total > 0) for weight in weights if weight)
    agreement = (1 + abs(total) / (math.fsum(map(abs, weights)) or 1.0)) / 2
    if abs(total) >= policy.min_weight and winners >= policy.min_people and agreement >= policy.min_agreement:
        return int(total > 0)
    return None


def _count(grade: int | None, by_thumbs: int | None, weights: Sequence[float], counts: Counter[str]) -> None:
    """Counts what became of one (query, document)."""
    conflict = len({weight > 0 for weight in weights if weight}) > 1
    counts["conflicts"] += conflict
    if grade is None:
        counts["undecided"] += 1
        counts["conflicts_undecided"] += conflict
    else:
        counts["judged_relevant" if grade else "judged_wrong"] += 1
        counts["judged_by_clicks"] += by_thumbs is None


def qrels_of(found: Sequence[Judgment]) -> tuple[list[str], dict[str, dict[str, int]]]:
    """Queries with at least one relevant document, and their grades; the greatest grade of a pair counts."""
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for judgment in found:
        key = query_key(judgment.query)
        queries.setdefault(key, judgment.query)
        grades = qrels.setdefault(key, {})
        grades[judgment.document_id] = max(judgment.grade, grades.get(judgment.document_id, 0))
    kept = sorted(key for key, grades in qrels.items() if any(grade > 0 for grade in grades.values()))
    return [queries[key] for key in kept], {key: qrels[key] for key in kept}
