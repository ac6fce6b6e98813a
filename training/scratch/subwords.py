"""A tokenizer learnt from a corpus: byte-level BPE over its words (Sennrich et al. 2016; Radford et al. 2019).

Every text can be read, since every byte is a piece: no letter is unknown. The library learns BPE alike in every
process, and WordPiece not.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from training.scratch.tokenizer import normalizer

PADDING, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PADDING, UNKNOWN, START, END, MASK)
_SIGN = Regex(r"[\p{P}\p{S}]")


def subword_tokenizer(texts: Iterable[str], max_pieces: int, min_count: int) -> Tokenizer:
    """Learns pieces of words; signs are pieces of their own, and blanks none.

    Args:
        texts: What it is learnt from.
        max_pieces: At most so many, with the 256 bytes and the special ones among them.
        min_count: Pieces are made of pairs that occur as often.

    Returns:
        A tokenizer in lower case that keeps the vowel signs of Indic scripts, and puts `[CLS]` before a text
        and `[SEP]` behind it.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = normalizer()
    # The words are cut here: the expression of ByteLevel parts letters from their vowel signs.
    tokenizer.pre_tokenizer = PreTokenizers(
        [
            Split(Regex(r"\s+"), behavior="removed"),
            Split(_SIGN, behavior="isolated"),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=max_pieces,
        min_frequency=min_count,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return tokenizer
