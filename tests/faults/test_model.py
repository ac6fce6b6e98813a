"""The dictionary itself: an error in it would hide those of the service."""

from __future__ import annotations

from tests.faults.model import Content, Documents, Serving, State

OLD, NEW = Content("", "old"), Content("", "new")


def written(documents: Documents, content: Content | None) -> State:
    state = documents.begin("d", content)
    documents.acknowledge("d", state)
    return state


def test_hit_of_an_acknowledged_write_is_right_and_an_older_one_is_outdated() -> None:
    documents = Documents()
    first, second = written(documents, OLD), written(documents, NEW)
    moment = documents.moment()
    assert moment.fault("d", second.number) is None
    assert moment.fault("d", first.number) == "outdated"


def test_hit_of_a_deleted_document_is_a_fault_even_when_it_is_written_again_later() -> None:
    documents = Documents()
    first = written(documents, OLD)
    written(documents, None)
    moment = documents.moment()
    again = written(documents, NEW)
    assert moment.fault("d", first.number) == "deleted"
    assert moment.fault("d", again.number) is None


def test_hit_of_a_document_that_was_never_written_is_a_fault() -> None:
    assert Documents().moment().fault("d", 0) == "deleted"


def test_lost_acknowledgement_leaves_both_outcomes_until_one_is_seen() -> None:
    documents = Documents()
    first = written(documents, OLD)
    documents.begin("d", None)
    assert documents.in_doubt() == ["d"]
    assert documents.moment().fault("d", first.number) is None
    assert documents.pin("d", None)
    assert documents.moment().fault("d", first.number) == "deleted"


def test_acknowledged_write_that_is_gone_is_no_possible_outcome() -> None:
    documents = Documents()
    written(documents, OLD)
    assert not documents.pin("d", None)
    assert documents.pin("d", None), "what was found is told once"


def test_older_content_than_the_acknowledged_one_is_no_possible_outcome() -> None:
    documents = Documents()
    first = written(documents, OLD)
    written(documents, NEW)
    assert not documents.pin("d", first.number)


def test_refused_write_changes_nothing() -> None:
    documents = Documents()
    first = written(documents, OLD)
    documents.withdraw("d", documents.begin("d", None))
    assert documents.live() == {"d": first.number}


def test_single_acknowledged_move_must_serve_and_two_may_have_ended_either_way() -> None:
    serving = Serving(before="a")
    serving.begin()
    serving.acknowledge("b")
    assert serving.possible() == {"b"}
    serving.begin()
    serving.doubt(["c"])
    assert serving.possible() == {"a", "b", "c"}
