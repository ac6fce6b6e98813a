"""A small clinic's documents, and how people ask for them: data that every stack test shares."""

from __future__ import annotations

from typing import Any

TERMS = {
    "epistaxis": ("bleeding from the nose", "nose bleed", "blood from the nose"),
    "myocardial infarction": ("heart attack", "chest pain and heart", "attack of the heart"),
    "hypertension": ("high blood pressure", "pressure of the blood high", "blood pressure too high"),
    "hypotension": ("low blood pressure", "blood pressure too low", "pressure low"),
    "renal calculus": ("kidney stone", "stone in the kidney", "stone kidney pain"),
    "hepatitis": ("liver inflammation", "sick liver", "liver ache"),
    "cephalalgia": ("headache", "head ache", "pain in the head"),
    "migraine": ("headache on one side", "one side headache", "bad headache and light"),
    "tussis": ("cough", "cough at night", "dry cough"),
    "influenza": ("flu", "flu and fever", "bad flu"),
    "fracture": ("broken bone", "cracked bone", "broken arm bone"),
    "exanthema": ("skin rash", "rash on the skin", "red rash"),
    "pruritus": ("itching", "itching skin", "skin itching at night"),
    "conjunctivitis": ("red eye", "eye red and itching", "red eye in the morning"),
    "otalgia": ("ear ache", "pain in the ear", "ear pain"),
    "dental caries": ("tooth decay", "decay of a tooth", "hole in a tooth"),
    "diabetes mellitus": ("sugar disease", "high sugar in the blood", "too much sugar"),
    "pyrexia": ("fever", "high fever", "fever at night"),
    "rhinitis": ("cold in the nose", "nose cold", "running nose"),
    "combustio": ("burn", "burn of the skin", "skin burn"),
}
WORDS = sorted({word for term, asked in TERMS.items() for text in (term, *asked) for word in text.split()})


def documents() -> list[dict[str, Any]]:
    """Twenty documents of one passage each, ids `d00`..`d19`."""
    return [
        {"id": f"d{n:02}", "title": term, "text": f"{term} is what a doctor calls it, number {n}"}
        for n, term in enumerate(TERMS)
    ]


def questions(variant: int) -> list[tuple[str, str]]:
    """How people ask for each document, (query, document id); `variant` 0..2 gives other words."""
    return [(asked[variant], f"d{n:02}") for n, asked in enumerate(TERMS.values())]


def judged(variant: int, split: str, count: int | None = None) -> list[dict[str, Any]]:
    """Judgments that give the first `count` questions of a variant their document."""
    return [
        {"query": query, "document_id": identity, "grade": 1, "split": split}
        for query, identity in questions(variant)[:count]
    ]
