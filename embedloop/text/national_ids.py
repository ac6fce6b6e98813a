"""Numbers that states give to people, told by their check digits (python-stdnum)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from stdnum.au import tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import itin, ssn
from stdnum.za import idnr as za_idnr

# Forms that hardly anything else has: no word need stand before them.
_SHAPES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "cpf": (r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf.is_valid),
    "nn": (r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", nn.is_valid),
    "ahv": (r"756\.\d{4}\.\d{4}\.\d{2}", ahv.is_valid),
    "rrn": (r"\d{6}-[1-8]\d{6}", rrn.is_valid),
    "personnummer": (r"\d{6}[-+]\d{4}", personnummer.is_valid),
    "hetu": (r"\d{6}[-+A]\d{3}[0-9A-Y]", hetu.is_valid),
    "dni": (r"\d{8}-?[A-HJ-NP-TV-Z]", dni.is_valid),
    "ric": (r"\d{17}[\dX]", ric.is_valid),
    "aadhaar": (r"[2-9]\d{3} \d{4} \d{4}|[2-9]\d{3}-\d{4}-\d{4}", aadhaar.is_valid),
    "nir": (r"[12] \d{2} \d{2} \d[\dAB] \d{3} \d{3} \d{2}", nir.is_valid),
    "nie": (r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", nie.is_valid),
    "codicefiscale": (r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale.is_valid),
    "curp": (r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d", curp.is_valid),
}
NATIONAL_ID = re.compile(
    r"(?<![\w.-])(?=\d|[A-Z]{4}|[XYZ][\d-])(?:"
    + "|".join(f"(?P<{name}>{form})" for name, (form, _) in _SHAPES.items())
    + r")(?![\w-]|\.\d)"
)

# Bare digits: any number has a check digit that fits now and then, so a word before it must say what it is.
CUED_NUMBER = re.compile(r"(?<![\w.-])\d(?:[ .-]?\d){7,14}(?!\w)")
_CUE = re.compile(
    r"(?:\b(?:NHS|SIN|BSN|PESEL|TFN|CPF|NIR|CNP|EGN|SSN|ITIN|NINO|IdNr|T\.?C\.? ?Kimlik)"
    r"|(?i:\b(?:aadhaa?r|national (?:id|identity|insurance)|identity (?:card|document)|id card"
    r"|tax(?:payer)? (?:id|file|identification)|social (?:insurance|security)|steuer-?id|personnummer"
    r"|f[øo]dselsnummer)|आधार))"
    r"(?i: ?(?:number|no|nr|card|code|id|नंबर)\b)*[ .:#=]{0,3}$"
)
# One of these, in lower case, is in every cue.
CUE_WORDS = (
    "nhs", "sin", "bsn", "pesel", "tfn", "cpf", "nir", "cnp", "egn", "ssn", "itin", "nino", "idnr",
    "kimlik", "aadha", "national i", "identity", "id card", "tax", "social", "steuer", "personnummer",
    "dselsnummer", "आधार",
)  # fmt: skip
_CUE_CHARS = 60
_BARE: tuple[Callable[[str], bool], ...] = (
    nhs.is_valid, sin.is_valid, bsn.is_valid, pesel.is_valid, tfn.is_valid, aadhaar.is_valid, cpf.is_valid,
    fodselsnummer.is_valid, idnr.is_valid, tckimlik.is_valid, cnp.is_valid, egn.is_valid, nir.is_valid,
    za_idnr.is_valid, ssn.is_valid, itin.is_valid,
)  # fmt: skip


def is_national_id(match: re.Match[str]) -> bool:
    """Check a match of `NATIONAL_ID`."""
    if match.lastgroup is None:
        return False
    try:
        return _SHAPES[match.lastgroup][1](match[0])
    except LookupError:
        # stdnum's table of regions has entries without a county: no number of those was ever issued.
        return False


def is_social_security_number(match: re.Match[str]) -> bool:
    """US social security numbers in the ranges ever issued, and taxpayer numbers of the same form (ITIN)."""
    return bool(ssn.is_valid(match[0]) or itin.is_valid(match[0]))


def end_of_cued_number(match: re.Match[str]) -> int:
    """Find where a number after its cue ends; a match of `CUED_NUMBER` may have run into the next one."""
    before = match.string[max(0, match.start() - _CUE_CHARS) : match.start()]
    if _CUE.search(before) is None:
        return match.start()
    candidate = match[0]
    for end in range(len(candidate), 7, -1):
        ends = end == len(candidate) or not candidate[end].isdigit()
        if ends and candidate[end - 1].isdigit() and any(valid(candidate[:end]) for valid in _BARE):
            return match.start() + end
    return match.start()
