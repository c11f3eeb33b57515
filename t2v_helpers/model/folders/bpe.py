"""The tokenizer of a folder: a byte-pair tokenizer (Sennrich et al. 2016, arXiv 1508.07909), checked and read.

A vocabulary numbers the tokens, and each merge joins two tokens into a third. Libraries accept truncated merges
silently and then spell words in letters, so vocabulary and merges must account for each other.
"""

from collections.abc import Collection
from pathlib import Path

from t2v_helpers.core import checking, files
from t2v_helpers.core.importing import quickly
from t2v_helpers.model.folders.rules import damaged, read

with quickly():
    from transformers import CLIPTokenizer

MARKS = {"bos_token": "<|startoftext|>", **dict.fromkeys(("eos_token", "unk_token", "pad_token"), "<|endoftext|>")}
WORD_END = "</w>"


def vocabulary(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The tokens with their numbers, and the merges, from vocab.json and merges.txt, or else from tokenizer.json.

    ValueError: none of them; a file that cannot be read; merges that do not fit the tokens, or are cut short.
    """
    tokens, merges, whole_file = (folder / name for name in ("vocab.json", "merges.txt", "tokenizer.json"))
    if tokens.exists() or merges.exists():
        source, found, pairs = merges, read(tokens), [tuple(line.split(" ")) for line in _merge_lines(merges)]
    else:
        source = whole_file
        found, pairs = _model(whole_file)
    special = set(_special_tokens(folder).values())
    if not found or sorted(map(_number, found.values())) != list(range(len(found))):
        raise damaged(f"{tokens if source == merges else source} holds no vocabulary (tokens, numbered from 0)")
    _check_merges(source, found.keys(), pairs, special)
    return found, pairs


def tokenizer(folder: Path, longest: int) -> CLIPTokenizer:
    """The tokenizer of a folder, for sentences of at most `longest` tokens. ValueError: see `vocabulary`."""
    found, merges = vocabulary(folder)
    special = _special_tokens(folder)
    if strange := [token for token in special.values() if token not in found]:
        raise damaged(f"{folder} has the special token {checking.shown(strange[0])}, which its vocabulary lacks")
    settings = read(path) if (path := folder / "tokenizer_config.json").exists() else {}
    room = settings.get("model_max_length", longest)
    if type(room) is not int or not 2 < room <= longest:
        raise damaged(f"{path} has model_max_length={checking.shown(room)}, but it must be from 3 to {longest}")
    return CLIPTokenizer(vocab=found, merges=merges, model_max_length=room, **special)


def _model(path: Path) -> tuple[dict, list[tuple[str, ...]]]:
    try:
        model = read(path)["model"]
        pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(map(str, pair)) for pair in model["merges"]]
        return dict(model["vocab"]), pairs
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise damaged(f"{path} holds no vocabulary with merges") from error


def _merge_lines(merges: Path) -> list[str]:
    """The merges in a merges.txt, "a b" each. ValueError: it cannot be read."""
    try:
        files.check_link(merges)
        lines = files.read_text(merges).splitlines()
    except ValueError as error:
        raise damaged(str(error)[:-1]) from error
    return [line for line in lines if line.strip() and not line.startswith("#version")]


def _number(value: object) -> int:
    return value if type(value) is int else -1


def _check_merges(source: Path, tokens: Collection[str], merges: list[tuple[str, ...]], special: set[str]) -> None:
    """ValueError unless each merge joins two tokens into one, and a merge makes each token longer than a letter."""
    if len(set(merges)) != len(merges):  # which of two alike counts would be the library's choice
        raise damaged(f"{source} has {len(merges)} merges, but {len(set(merges))} different ones")
    made = set()
    for pair in merges:
        joined = "".join(pair)
        if len(pair) != 2 or not all(token in tokens for token in (*pair, joined)):
            given = checking.shown(" ".join(pair)[:40])
            raise damaged(f"{source} has the merge {given}, which does not join two tokens into one")
        made.add(joined)
    left = [token for token in tokens - made - special if len(token.removesuffix(WORD_END)) > 1]
    if left:
        raise damaged(f"{source} is cut short: {len(left)} tokens, such as {checking.shown(min(left))}, have no merge")


def _special_tokens(folder: Path) -> dict[str, str]:
    """bos_token, eos_token, unk_token and pad_token: CLIP's, unless a config names others, the later one counts."""
    special = dict(MARKS)
    for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json"):
        for key, value in (read(path) if path.exists() else {}).items():
            text = value.get("content") if isinstance(value, dict) else value
            if key in MARKS and text is not None:
                special[key] = checking.kind(f"{path}: {key}", text, str, "a text")
    return special
