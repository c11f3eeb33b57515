"""A CLIPTokenizer of the cartoon world: one token for each of its words, bytes for everything else.

`vocabulary_of_size` extends it to any size, such as the 49,408 tokens of OpenAI's CLIP, where only the size matters.
"""

from collections import Counter
from itertools import pairwise, product

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from t2v_helpers.cartoon import vocabulary
from t2v_helpers.core import checking

MAX_TOKENS = 24  # the longest caption has 20 words, and two tokens mark its start and end
START, END = "<|startoftext|>", "<|endoftext|>"
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
BYTES = [*ALPHABET, *(f"{letter}</w>" for letter in ALPHABET)]  # anywhere, and at the end of a word


def new_tokenizer() -> CLIPTokenizer:
    """A tokenizer that reads each word of the cartoon world as one token (byte-pair encoding, arXiv 1508.07909)."""
    vocab, merges = vocabulary_of_size(len(BYTES) + len(_merges()) + 2)
    pairs = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab, pairs, model_max_length=MAX_TOKENS, do_lower_case=True)


def vocabulary_of_size(size: int) -> tuple[dict[str, int], list[str]]:
    """A vocabulary of `size` tokens and its merges, laid out as CLIP's: bytes, bytes at a word's end, merges, marks.

    Words of the cartoon world are one token each, as far as the size allows; then come pairs of bytes, in order.
    ValueError: fewer tokens than the bytes need, or more than there are pairs.
    """
    least = len(BYTES) + 2
    checking.whole("size", size, least, least + len(ALPHABET) ** 2)
    tokens, merges = dict.fromkeys(BYTES), []
    for pair in [*_merges(), *product(ALPHABET, repeat=2)]:
        token = "".join(pair)
        if len(tokens) + 2 < size and token not in tokens:
            tokens[token] = None
            merges.append(" ".join(pair))
    return {token: i for i, token in enumerate([*tokens, START, END])}, merges


def _merges() -> list[tuple[str, str]]:
    """Join the most frequent pair of neighbours, the first in the alphabet where several are, until words are whole.

    The tokenizers library breaks ties at random, so two runs would give two tokenizers.
    """
    words, merges = [[*word[:-1], f"{word[-1]}</w>"] for word in vocabulary()], []
    while pairs := Counter(pair for word in words for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [_joined(word, best) for word in words]
    return merges


def _joined(word: list[str], pair: tuple[str, str]) -> list[str]:
    whole = []
    for symbol in word:
        if whole and (whole[-1], symbol) == pair:
            whole[-1] += symbol
        else:
            whole.append(symbol)
    return whole
