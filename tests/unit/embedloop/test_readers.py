import gzip
import json
from pathlib import Path

import pytest

from embedloop.errors import InvalidInput, NotFound
from embedloop.readers import read_documents, read_judgments
from embedloop.text.cleaned import Removals
from embedloop.text.mail import text_from_mail


def write_lines(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write(
            '{"_id": "d1", "title": "Gout", "text": "Joints.", "metadata": {"year": 1999, "by": null}}\n\n'
        )
        stream.write('{"_id": "d2", "text": "किताब"}\n')
    write_lines(
        tmp_path / "queries.jsonl", {"_id": "q1", "text": "what is gout"}, {"_id": "q2", "text": "book"}
    )
    (tmp_path / "qrels").mkdir()
    for name, row in (("train", "q1\td1\t2"), ("dev", "q2\td2\t1"), ("test", "q1\td2\t-1")):
        (tmp_path / "qrels" / f"{name}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    return tmp_path


def test_beir_documents_are_read_from_gzip_without_empty_metadata(beir: Path) -> None:
    assert list(read_documents(beir)) == [
        {"id": "d1", "title": "Gout", "text": "Joints.", "metadata": {"year": 1999}},
        {"id": "d2", "title": "", "text": "किताब", "metadata": {}},
    ]


def test_beir_judgments_take_their_split_from_the_file_name(beir: Path) -> None:
    assert list(read_judgments(beir)) == [
        {"query": "book", "document_id": "d2", "grade": 1, "split": "dev"},
        {"query": "what is gout", "document_id": "d2", "grade": 0, "split": "golden"},
        {"query": "what is gout", "document_id": "d1", "grade": 2, "split": "train"},
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q9\td1\t1", r"train\.tsv:2: query 'q9' is not in queries\.jsonl"),
        ("q1 d1 1", r"train\.tsv:2: must be query, document and grade"),
        ("q1\td1\t4", r"train\.tsv:2: grade must be 0\.\.3, got 4"),
        ("q1\td1\thigh", r"train\.tsv:2: grade must be a whole number, got 'high'"),
    ],
)
def test_wrong_judgment_is_told_with_file_and_line(beir: Path, row: str, reason: str) -> None:
    (beir / "qrels" / "train.tsv").write_text(f"query-id\tcorpus-id\tscore\n{row}\n")
    with pytest.raises(InvalidInput, match=reason):
        list(read_judgments(beir))


def test_qrels_file_with_unknown_split_is_refused(beir: Path) -> None:
    (beir / "qrels" / "extra.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    with pytest.raises(InvalidInput, match=r"extra\.tsv"):
        list(read_judgments(beir))


def test_qrels_without_queries_are_refused(beir: Path) -> None:
    (beir / "queries.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"no queries\.jsonl"):
        list(read_judgments(beir))


def test_paths_other_than_beir_have_no_judgments(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "some.jsonl", {"id": "a", "text": "b"})
    assert list(read_judgments(file)) == []


def test_jsonl_keeps_deletes_and_turns_numbers_into_ids(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "some.jsonl", {"id": 7, "text": "b"}, {"id": "x", "op": "delete"})
    assert list(read_documents(file)) == [
        {"id": "7", "title": "", "text": "b", "metadata": {}},
        {"id": "x", "op": "delete"},
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "a"', r"bad\.jsonl:2: not JSON"),
        ("[1]", r"bad\.jsonl:2: must be an object, got list"),
        ('{"text": "b"}', r"bad\.jsonl:2: id \(or _id\) must be a string, got None"),
        ('{"id": true}', r"bad\.jsonl:2: id .* got True"),
        ('{"id": "a", "text": 3}', r"bad\.jsonl:2: text must be a string, got int"),
        ('{"id": "a", "metadata": []}', None),
        ('{"id": "a", "metadata": [1]}', r"bad\.jsonl:2: metadata must be an object, got list"),
    ],
)
def test_wrong_json_line_is_told_with_file_and_line(tmp_path: Path, line: str, reason: str | None) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"id": "first", "text": "fine"}\n' + line + "\n")
    documents = read_documents(file)
    assert next(documents)["id"] == "first"
    if reason is None:
        assert next(documents)["metadata"] == {}
        return
    with pytest.raises(InvalidInput, match=reason):
        next(documents)


def test_csv_columns_beside_id_title_and_text_become_metadata(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text('\ufeffid,title,text,topic\n1,Gout,"Joints,\nand pain",bones\n2,,Skin,\n', encoding="utf-8")
    assert list(read_documents(file)) == [
        {"id": "1", "title": "Gout", "text": "Joints,\nand pain", "metadata": {"topic": "bones"}},
        {"id": "2", "title": "", "text": "Skin", "metadata": {}},
    ]


def test_csv_cell_may_hold_a_long_document(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("id,text\n1," + "a" * 300_000 + "\n")
    assert len(next(read_documents(file))["text"]) == 300_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", r"bad\.csv:1: columns must be id and title or text, got \[\]"),
        ("name,text\n", r"bad\.csv:1: columns"),
        ("id,text,a b\n", r"bad\.csv:1: column names .* got 'a b'"),
        ("id,text,text\n", r"bad\.csv:1: column names .* got 'text'"),
        ("id,text\n1\n", r"bad\.csv:2: must have 2 cells"),
        ("id,text\n1,b,c\n", r"bad\.csv:2: must have 2 cells"),
        ("id,text\n,b\n", r"bad\.csv:2: id must not be empty"),
        ('id,text\n1,"b\n', r"bad\.csv:2: not CSV"),
    ],
)
def test_wrong_csv_is_told_with_file_and_line(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    with pytest.raises(InvalidInput, match=reason):
        list(read_documents(file))


def test_folder_of_texts_is_read_in_order_of_names_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "note.txt").write_text("hidden")
    (tmp_path / "sub" / "notes.txt").write_text("plain")
    (tmp_path / "guide.md").write_text("intro\n\n# The guide #\n\nBody.")
    (tmp_path / "page.HTML").write_text("<p>Joints hurt a lot.</p>")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    assert [line["id"] for line in read_documents(tmp_path)] == ["guide.md", "page.HTML", "sub/notes.txt"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.md", "text/markdown"), ("a.html", "text/html"), ("a.htm", "text/html"), ("a.eml", "message/rfc822")],
)
def test_file_is_sent_as_it_is_with_its_content_type(tmp_path: Path, name: str, content_type: str) -> None:
    (tmp_path / name).write_text("Subject: x\n\n# <b>Body</b>")
    [line] = read_documents(tmp_path / name)
    assert line == {
        "id": name,
        "text": "Subject: x\n\n# <b>Body</b>",
        "metadata": {},
        "content_type": content_type,
    }


def test_plain_text_file_has_its_name_as_title(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("plain")
    [line] = read_documents(tmp_path / "notes.txt")
    assert line == {"id": "notes.txt", "title": "notes", "text": "plain", "metadata": {}}


def test_mail_in_another_charset_is_encoded_so_that_json_can_hold_it(tmp_path: Path) -> None:
    head = "Subject: Gicht\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n"
    (tmp_path / "a.eml").write_bytes(f"{head}Schmerz für Ärzte".encode("iso-8859-1"))
    [line] = read_documents(tmp_path / "a.eml")
    assert line["text"].isascii()
    assert text_from_mail(line["text"], Removals()) == ("Gicht", "Schmerz für Ärzte")


def test_content_type_of_a_jsonl_line_is_kept(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "some.jsonl", {"id": "a", "text": "<p>b</p>", "content_type": "text/html"})
    [line] = read_documents(file)
    assert line["content_type"] == "text/html"


def test_unknown_content_type_is_told_with_file_and_line(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "some.jsonl", {"id": "a", "text": "b", "content_type": "text/rtf"})
    with pytest.raises(
        InvalidInput, match=r"some\.jsonl:1: content_type must be one of text/plain, .*'text/rtf'"
    ):
        list(read_documents(file))


def test_single_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain")
    assert [line["id"] for line in read_documents(tmp_path / "a.txt")] == ["a.txt"]


def test_folder_without_anything_readable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"must hold corpus\.jsonl"):
        list(read_documents(tmp_path))


def test_missing_path_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        read_documents(tmp_path / "absent")


def test_unknown_kind_of_file_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(InvalidInput, match=r"\.jsonl\.gz, \.csv.*a\.pdf"):
        read_documents(tmp_path / "a.pdf")


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"\xff\xfe\x00"), ("a.jsonl.gz", b"\x1f\x8b\x08broken")]
)
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=name):
        list(read_documents(tmp_path / name))
