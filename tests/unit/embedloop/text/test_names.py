import sys
from types import ModuleType

import pytest

from embedloop.errors import MissingExtra
from embedloop.text.names import CHARS_AT_ONCE, PresidioNames, presidio_names
from embedloop.text.redact import redact


class Found:
    def __init__(self, start: int, end: int):
        self.start, self.end = start, end


class FakeAnalyzer:
    """Finds every `Ann`, and every placeholder, as a model might."""

    def analyze(self, text: str, **_: object) -> list[Found]:
        marks = [Found(i, i + 3) for i in range(len(text)) if text.startswith("Ann", i)]
        return marks + [Found(i + 1, i + 5) for i in range(len(text)) if text.startswith("[NAME", i)]


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    presidio_names.cache_clear()


def test_missing_presidio_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtra, match=r"embedloop\[pii\]"):
        presidio_names()


def test_missing_model_is_named_and_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in {
        "presidio_analyzer": {"AnalyzerEngine": None},
        "presidio_analyzer.nlp_engine": {"NlpEngineProvider": None},
        "spacy": {},
        "spacy.util": {"is_package": lambda name: False},
    }.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    with pytest.raises(MissingExtra, match="'xx_small'"):
        presidio_names("xx_small")


def test_what_redaction_wrote_is_never_a_name() -> None:
    names = PresidioNames(FakeAnalyzer())
    once = redact("Ann and Ann", names=names).text
    assert once == "[NAME] and [NAME]"
    assert redact(once, names=names).text == once


def test_spans_of_a_long_text_are_in_order_with_their_offsets() -> None:
    text = "Ann" + " " * CHARS_AT_ONCE + "Ann"
    assert PresidioNames(FakeAnalyzer()).spans(text) == [(0, 3), (len(text) - 3, len(text))]
