"""The files of a byte-pair tokenizer (Sennrich et al. 2016, arXiv 1508.07909), looked at before a library opens them.

A vocabulary gives each token its number; each merge joins two tokens to a third. Merges that are cut short are opened
without a word, and words are then spelt in letters: the two must account for each other.
"""

import json
from collections.abc import Iterable
from pathlib import Path

MARKS = ("<|startoftext|>", "<|endoftext|>")  # CLIP's, where no config names others
WORD_END = "</w>"


def check(folder: Path) -> None:
    """Look at vocab.json and merges.txt, and at tokenizer.json, whichever are there. Milliseconds.

    ValueError: a file that cannot be read; no vocabulary; merges that do not fit it, or are cut short.
    """
    special = {*MARKS, *_named(folder / "tokenizer_config.json")}
    vocabulary, merges, whole = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
    if vocabulary.exists() or merges.exists():
        pairs = [line.split(" ") for line in merge_lines(merges)]
        _check(merges, _tokens(vocabulary, _json(vocabulary)), pairs, special)
    if whole.exists():
        found, pairs, added = _whole(whole)
        _check(whole, _tokens(whole, found), pairs, special | added)


def merge_lines(merges: Path) -> list[str]:
    """The merges of a merges.txt, "a b" each. ValueError: it cannot be read."""
    return [line for line in _text(merges).splitlines() if line.strip() and not line.startswith("#version")]


def _check(source: Path, vocabulary: set[str], merges: Iterable[list[str]], special: set[str]) -> None:
    """ValueError unless each merge joins two tokens to one, and each token longer than a byte is made by a merge."""
    made = set()
    for pair in merges:
        joined = "".join(pair)
        if len(pair) != 2 or not {*pair, joined} <= vocabulary:
            raise ValueError(f"{source} has the merge {' '.join(pair)[:40]!r}, which joins no two tokens to a third.")
        made.add(joined)
    left = [token for token in vocabulary - made - special if len(token.removesuffix(WORD_END)) > 1]
    if left:
        raise ValueError(f"{source} has no merge for {len(left)} tokens, {min(left)!r} say, so it is cut short.")


def _tokens(source: Path, found: object) -> set[str]:
    if not isinstance(found, dict) or not found or not all(type(number) is int for number in found.values()):
        raise ValueError(f"{source} holds no vocabulary, tokens with their numbers.")
    return set(found)


def _whole(path: Path) -> tuple[object, list[list[str]], set[str]]:
    """The vocabulary, the merges ("a b" or ["a", "b"]) and the added tokens in a tokenizer.json."""
    found = _json(path)
    try:
        merges = [pair.split(" ") if isinstance(pair, str) else [str(piece) for piece in pair]
                  for pair in found["model"]["merges"]]  # fmt: skip
        return found["model"]["vocab"], merges, {token["content"] for token in found["added_tokens"]}
    except (LookupError, TypeError) as error:
        raise ValueError(f"{path} holds no vocabulary with merges.") from error


def _named(config: Path) -> set[str]:
    """The tokens that a tokenizer_config.json names: "bos_token" and others, as a text or with their "content"."""
    found = _json(config) if config.exists() else {}
    named = [value for key, value in found.items() if key.endswith("_token")] if isinstance(found, dict) else []
    named = [value.get("content") if isinstance(value, dict) else value for value in named]
    return {value for value in named if isinstance(value, str)}


def _json(path: Path) -> object:
    text = _text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}).") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}).") from error
