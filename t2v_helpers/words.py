"""A CLIPTokenizer of the cartoon world: one token for each of its words, bytes for everything else."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from t2v_helpers.cartoon import vocabulary

MAX_TOKENS = 24  # the longest caption has 20 words, and two tokens mark start and end
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


def _config() -> dict[str, object]:
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    return {"tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True, **special}


def _byte_pairs(words: list[str]) -> tuple[dict[str, int], list[str]]:
    """CLIP's vocabulary: every byte, every byte at a word's end, the merges of `words`, the two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=100_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False)
    bpe.train_from_iterator([" ".join(words)], trainer)
    merges = [" ".join(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    merged = [merge.replace(" ", "") for merge in merges]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *dict.fromkeys(merged), START, END]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, merges
