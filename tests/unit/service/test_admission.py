"""Who may wait for the next batch, by the pace of the stages."""

from __future__ import annotations

import pytest

from embedloop.errors import QueueFull
from service.admission import Admission


def admission(max_batch: int = 4, max_queue: int = 100, max_queue_ms: float = 200.0) -> Admission:
    return Admission(max_batch=max_batch, max_queue=max_queue, max_queue_ms=max_queue_ms)


def test_a_wait_longer_than_allowed_is_refused_with_its_length() -> None:
    full = admission()
    full.record("encode", 0.16, 16)
    full.check(20)
    with pytest.raises(QueueFull, match=r"21 searches wait already, for about 0\.2 s") as refused:
        full.check(21)
    assert refused.value.retry_after_seconds == 1


def test_the_slowest_stage_sets_the_pace() -> None:
    slow = admission()
    slow.record("encode", 0.016, 16)
    slow.record("search", 0.8, 16)
    assert slow.expected_wait(10) == pytest.approx(0.5)


def test_what_fits_the_next_batch_is_let_in_however_slow_the_last_one_was() -> None:
    slow = admission()
    slow.record("encode", 60.0, 1)
    slow.check(3)
    with pytest.raises(QueueFull):
        slow.check(4)


def test_the_pace_is_forgotten_after_a_few_queries() -> None:
    pace = admission()
    pace.record("encode", 60.0, 1)
    pace.record("encode", 0.16, 16)
    assert pace.expected_wait(16) == pytest.approx(0.16)


def test_the_length_of_the_queue_is_bounded_before_any_pace_is_known() -> None:
    new = admission(max_queue=10)
    new.check(9)
    with pytest.raises(QueueFull):
        new.check(10)


def test_a_queue_shorter_than_a_batch_is_kept_to() -> None:
    with pytest.raises(QueueFull):
        admission(max_batch=32, max_queue=2).check(2)
