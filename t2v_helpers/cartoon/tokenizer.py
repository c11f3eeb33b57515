"""A CLIPTokenizer of the cartoon world: one token for each of its words, bytes for everything else.

`vocabulary_of_size` extends it to any size, such as the 49,408 tokens of OpenAI's CLIP, where only the size matters.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from t2v_helpers.cartoon import vocabulary
from t2v_helpers.core import checking

MAX_TOKENS = 24  # the longest caption has 20 words, and two tokens mark its start and end
START, END = "<|startoftext|>", "<|endoftext|>"


def new_tokenizer() -> CLIPTokenizer:
    """A tokenizer that reads each word of the cartoon world as one token (byte-pair encoding, arXiv 1508.07909)."""
    vocab, merges = _byte_pairs(vocabulary())
    with TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps(vocab), encoding="utf-8")
        merges_file.write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
        Path(folder, "tokenizer_config.json").write_text(json.dumps(_config()), encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder)


def vocabulary_of_size(size: int) -> tuple[dict[str, int], list[str]]:
    """A vocabulary of `size` tokens and its merges, laid out as CLIP's: bytes, bytes at a word's end, merges, marks.

    Words of the cartoon world are one token each, as far as the size allows; then come pairs of bytes, in order.
    ValueError: fewer tokens than the bytes need, or more than there are pairs.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    least = 2 * len(alphabet) + 2
    known = _byte_pairs(vocabulary())[1]
    every = list(dict.fromkeys([*known, *(f"{a} {b}" for a in alphabet for b in alphabet)]))
    checking.whole("size", size, least, least + len(alphabet) ** 2)
    made = dict.fromkeys([*alphabet, *(f"{letter}</w>" for letter in alphabet)])
    merges = []
    for merge in every:
        token = merge.replace(" ", "")
        if len(made) + 2 < size and token not in made:
            made[token] = None
            merges.append(merge)
    return {token: i for i, token in enumerate([*made, START, END])}, merges


def _config() -> dict[str, object]:
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    return {"tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True, **special}


def _byte_pairs(words: list[str]) -> tuple[dict[str, int], list[str]]:
    """CLIP's vocabulary: every byte, every byte at a word's end, the merges of `words`, the two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges([[*word[:-1], f"{word[-1]}</w>"] for word in words])
    merged = ["".join(pair) for pair in merges]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *merged, START, END]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, [" ".join(pair) for pair in merges]


def _merges(words: list[list[str]]) -> list[tuple[str, str]]:
    """Join the most frequent pair of neighbours, the first in the alphabet where several are, until words are whole.

    The tokenizers library breaks ties at random, so two runs would give two tokenizers.
    """
    merges = []
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
