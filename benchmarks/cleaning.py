"""`python -m benchmarks.cleaning`: cleaning, redaction, duplicates on a stream of raw documents with a key.

Writes `cleaning.json` and `cleaning.png`.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cleaning_picture, command
from benchmarks.cleaning_score import Detection, Share, personal_data, removal, visible_words, words
from benchmarks.cleaning_stream import Ingested
from benchmarks.machine import ROOT
from benchmarks.progress import say
from benchmarks.report import Report
from embedloop.catalog.database import Database
from embedloop.catalog.migrate import upgrade
from embedloop.errors import InvalidInput, MissingExtra
from embedloop.policy import Cleaning, Policy
from embedloop.text.cleaned import ContentType
from embedloop.text.cleaning import clean
from embedloop.text.names import presidio_names
from embedloop.text.redact import NameFinder, redact

STREAM = ROOT.parent / "shared" / "data" / "raw_stream" / "docs.jsonl.gz"
POLICY = Policy(
    cleaning=Cleaning(documents="all", rejects="refuse", near_duplicates="refuse"), redaction="placeholder"
)

Event = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = command.parser("cleaning", __doc__)
    parser.add_argument("--stream", type=Path, default=STREAM, help=f"events with their key (default {STREAM})")
    options = parser.parse_args(arguments)
    return command.run(lambda: run(options.stream, command.folder_of(options), 120 if options.quick else None))


def run(stream: Path, folder: Path, limit: int | None) -> None:
    """Measures the rules one by one, then the whole stream, and writes the report."""
    events = read(stream)[:limit]
    policy = POLICY.model_dump(mode="json", include={"cleaning", "redaction"})
    settings = {"events": len(events), "policy": policy}
    report = Report("cleaning", folder, settings, cleaning_picture.draw)
    say(f"content and boilerplate, {len(events)} events")
    report.keep("content", content(events))
    report.keep("personal_data", redaction(events))
    say("the stream into a corpus, in its order")
    with tempfile.TemporaryDirectory(prefix="embedloop-bench-") as scratch:
        url = f"sqlite:///{scratch}/catalog.db"
        upgrade(url)
        database = Database(url)
        report.keep("stream", Ingested(database, POLICY).told_after(events))
        database.dispose()
    report.finish()


def read(stream: Path) -> list[Event]:
    """The events in their order.

    Raises:
        InvalidInput: There is no such file.
    """
    try:
        with gzip.open(stream, "rt", encoding="utf-8") as lines:
            return sorted((json.loads(line) for line in lines), key=lambda event: event["seq"])
    except OSError as error:
        raise InvalidInput(f"the stream of events cannot be read: {error}", field="stream") from error


def content(events: Sequence[Event]) -> dict[str, Any]:
    """By content type: what is kept and cut, in words, and the strings that must be gone or must stay."""
    shares: dict[str, dict[str, Share]] = defaultdict(lambda: defaultdict(Share))
    seconds: Counter[str] = Counter()
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    for event in [e for e in events if e["op"] == "upsert" and e["quality"] == "ok"]:
        kind = event["content_type"]
        begin = time.perf_counter()
        cleaned = clean(event["raw"], ContentType(kind))
        seconds[kind] += time.perf_counter() - begin
        text = f"{cleaned.title}\n{cleaned.text}"
        kept, wanted = words(text), words(event["clean_text"])
        cut, lost = removal(visible_words(event["raw"], kind), kept, wanted)
        found = shares[kind]
        found["documents"].add(1, 1)
        found["content_precision"].add((kept & wanted).total(), kept.total())
        found["content_recall"].add((kept & wanted).total(), wanted.total())
        found["boilerplate_precision"].add(cut - lost, cut)
        strings = event["boilerplate"]
        found["boilerplate_recall"].add(sum(one not in text for one in strings), len(strings))
        found["must_keep"].add(sum(one in text for one in event["must_keep"]), len(event["must_keep"]))
        found["language_english"].add(cleaned.language == "en", 1)
        rules[kind].update(one.rule for one in cleaned.removed)
    return {
        kind: {name: share.told() for name, share in found.items() if name != "documents"}
        | {
            "documents": found["documents"].of,
            "boilerplate_strings": found["boilerplate_recall"].of,
            "must_keep_sentences": found["must_keep"].of,
            "documents_by_rule": dict(rules[kind].most_common()),
            "ms_per_document": round(1000 * seconds[kind] / found["documents"].of, 2),
        }
        for kind, found in sorted(shares.items())
    }


def redaction(events: Sequence[Event]) -> dict[str, Any]:
    """By type, on the clean texts of the key: the personal data is still in them and nothing else hides it."""
    names, without = _names()
    found: dict[str, Detection] = defaultdict(Detection)
    kept = Share()
    for event in [e for e in events if e["op"] == "upsert"]:
        before = event["clean_text"]
        after = redact(before, names=names).text
        for kind, is_found, is_true in personal_data(before, after, event["pii"]):
            if kind != "NAME" or names is not None:
                found[kind].add(is_found, is_true)
        kept.add(sum(one in after for one in event["must_keep"]), len(event["must_keep"]))
    by_type = {kind: one.told() for kind, one in sorted(found.items())}
    told = {"by_type": by_type, "must_keep": kept.told(), "must_keep_sentences": kept.of}
    return told | ({"names": f"not measured: {without}"} if without else {})


def _names() -> tuple[NameFinder | None, str]:
    try:
        return presidio_names(), ""
    except MissingExtra as error:
        return None, error.message


if __name__ == "__main__":
    raise SystemExit(main())
