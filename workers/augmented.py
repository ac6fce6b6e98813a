"""Variants of a training set's queries, made of what the corpus, its glossary and a language model offer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from embedloop.catalog import documents
from embedloop.errors import InvalidInput, Misconfigured
from embedloop.jobs import Lease
from embedloop.recipe.augmentation import Augmentation, AugmentationKind
from embedloop.records.documents import Corpus
from embedloop.records.jobs import Job
from embedloop.records.training import TrainingPair
from embedloop.text.chunking import embedding_text
from training.augmentation.abbreviations import Abbreviations, AbbreviationTable
from training.augmentation.augment import Augmented, Augmenter, augment
from training.augmentation.back_translation import BackTranslation, PromptedTranslator
from training.augmentation.code_mixing import CodeMixing, read_translations
from training.augmentation.spelling import Misspelling
from training.augmentation.synonyms import Synonyms
from training.augmentation.transliteration import Transliteration
from training.kept_answers import KeptAnswers
from training.leakage import without_leaks
from training.unlabelled.glossary import Entry, read_glossary
from training.wordnet.build import Synset, read_synsets
from workers.generated import answers_folder, wait
from workers.labels import Labels
from workers.language_model import language_model_of
from workers.parts import Parts
from workers.reading import read_documents

# Abbreviations and words of a larger corpus stand in these too.
MOST_DOCUMENTS = 20_000


def augmented_pairs(
    parts: Parts, job: Job, corpus: Corpus, pairs: Sequence[TrainingPair], labels: Labels, lease: Lease
) -> Augmented:
    """Variants that may train: none of them is like what is measured.

    Args:
        parts: For documents and the language model.
        job: What the model answered is kept under its id until `forget_generated`.
        corpus: With the policy.
        pairs: What was chosen to train, redacted.
        labels: What is measured, and what was removed.
        lease: Told that the work goes on.

    Raises:
        InvalidInput: WordNet's files are not where the policy says.
        Misconfigured: Back-translation is wanted and no language model is named.
        MissingExtra: A library that a kind needs is not installed.
        TrainingFailed: A file that the policy names cannot be read.
    """
    settings = corpus.policy.training.augmentation
    if settings is None:
        return Augmented((), {})
    with ExitStack() as stack:
        makers = _Makers(parts, job, corpus, labels, lease, stack)
        made = augment(pairs, makers.of(settings), settings.share, settings.seed, lease.check)
    kept, leaks = without_leaks(made.pairs, labels.measured)
    return Augmented(kept, {**made.told, "left_out": dict(leaks)})


@dataclass(frozen=True)
class _Makers:
    """What each kind is made of; `stack` closes what is opened for them."""

    parts: Parts
    job: Job
    corpus: Corpus
    labels: Labels
    lease: Lease
    stack: ExitStack

    def of(self, settings: Augmentation) -> dict[AugmentationKind, Augmenter]:
        makers: dict[AugmentationKind, Callable[[Augmentation], Augmenter]] = {
            "synonyms": self._synonyms,
            "abbreviations": self._abbreviations,
            "spelling": lambda settings: Misspelling(),
            "transliteration": lambda settings: Transliteration(self._texts()),
            "code_mixing": _code_mixing,
            "back_translation": self._back_translation,
        }
        return {kind: makers[kind](settings) for kind in dict.fromkeys(settings.kinds)}

    def _synonyms(self, settings: Augmentation) -> Augmenter:
        return Synonyms(self._glossary(), [] if settings.wordnet is None else _wordnet(settings.wordnet))

    def _abbreviations(self, settings: Augmentation) -> Augmenter:
        return Abbreviations(AbbreviationTable(self._texts(), self._glossary()).meanings)

    def _back_translation(self, settings: Augmentation) -> Augmenter:
        model = self.stack.enter_context(language_model_of(self.parts.settings))
        if model is None:
            raise Misconfigured(
                "training.augmentation names `back_translation`: EMBEDLOOP_LLM_URL and EMBEDLOOP_LLM_MODEL "
                "must name a model"
            )
        kept = KeptAnswers(answers_folder(self.parts, self.job) / "translations.jsonl")
        translator = PromptedTranslator(model, kept, lambda seconds: wait(self.lease, seconds))
        return BackTranslation(translator, settings.language, settings.through)

    def _glossary(self) -> list[Entry]:
        path = self.corpus.policy.training.glossary
        return [] if path is None else read_glossary(Path(path))

    def _texts(self) -> Iterator[str]:
        """A spread of the documents, without those that were removed from training."""
        with self.parts.database.read() as connection:
            ids = documents.spread(connection, self.corpus.name, MOST_DOCUMENTS)
        removed = self.labels.removed
        for document in read_documents(self.parts, self.corpus, ids, self.lease):
            if not removed.has_document(document):
                yield embedding_text(document.title, document.text)


def _code_mixing(settings: Augmentation) -> Augmenter:
    if settings.bilingual is None:
        raise Misconfigured("training.augmentation names `code_mixing`: bilingual must be the path of a file")
    return CodeMixing(read_translations(Path(settings.bilingual)))


def _wordnet(folder: str) -> list[Synset]:
    try:
        return read_synsets(Path(folder))
    except InvalidInput as error:
        raise InvalidInput(
            f"{error.message}; null takes synonyms from the glossary alone",
            field="policy.training.augmentation.wordnet",
        ) from error
