"""The hub's copy of the real model: where it lies on this machine, and how it gets there (guest: huggingface_hub).

What is downloaded is pinned: the revision, the files, and what is in them. After a download, and for `t2v download`,
every byte is looked at: the weights by the hashes that were published, the configs beside the copies that ship with
the course, and the tokenizer's vocabulary and merges, which must account for each other. What is wrong is deleted, so
that a second try does not take it. Where nothing is missing, loading looks at the sizes of the weights alone, which is
free. Whatever goes wrong ends in one sentence with a next step.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HTTPError

from t2v_helpers.core import files, paths
from t2v_helpers.core.files import reason
from t2v_helpers.model import byte_pairs

MODELSCOPE_SHAPES = paths.PACKAGE / "model" / "modelscope"  # its published configs, and the sizes of its files
MODELSCOPE = "ali-vilab/text-to-video-ms-1.7b"
REVISION = "8227dddca75a8561bf858d604cc5dae52b954d01"  # pinned: what is downloaded is what was tested
LICENCE = "CC-BY-NC 4.0, not for commercial use"
CONFIGS = {  # file -> its copy in MODELSCOPE_SHAPES; the two without one are long, and are held against each other
    "model_index.json": "model_index.json", "scheduler/scheduler_config.json": "scheduler.json",
    "text_encoder/config.json": "text_encoder.json", "tokenizer/merges.txt": None,
    "tokenizer/special_tokens_map.json": "special_tokens_map.json",
    "tokenizer/tokenizer_config.json": "tokenizer_config.json", "tokenizer/vocab.json": None,
    "unet/config.json": "unet.json", "vae/config.json": "vae.json",
}  # fmt: skip
WEIGHTS = {  # variant -> file -> what the repository's LFS pointers say of it
    variant or None: entries
    for variant, entries in json.loads((MODELSCOPE_SHAPES / "weights.json").read_text(encoding="utf-8")).items()
}
_TOKEN = "type `hf auth login`, or take away a token that is old (HF_TOKEN)"
_NEXT = {  # the hub's answer -> what to do about it
    401: f"it asks who you are: {_TOKEN}",
    403: f"it does not let you in: {_TOKEN}",
    404: "it does not have this model or revision: see whether HF_ENDPOINT names the right hub",
    429: "it was asked too often: wait some minutes",
}
_NO_HUB = "see whether this network wants a login in a browser, and HF_ENDPOINT, HTTPS_PROXY and HF_TOKEN are right"
_NO_ANSWER = (ValueError, TypeError, LookupError, AttributeError)  # of the library: no JSON of a hub, or no address
_OR = "what is there is kept; or use the model 'cartoon'."


def weights(dtype: torch.dtype) -> dict[str, dict]:
    """The files of weights for that dtype, each with its "bytes" and "sha256"."""
    return WEIGHTS["fp16" if dtype.itemsize == 2 else None]  # bfloat16 keeps fewer digits than fp16 has


def size(dtype: torch.dtype) -> int:
    """Bytes of all its weights."""
    return sum(entry["bytes"] for entry in weights(dtype).values())


def again(dtype: torch.dtype) -> str:
    """What to do about a copy that is damaged, as the end of a sentence."""
    return f"type `t2v download --dtype {_stored(dtype)}`, which looks at every byte and fetches anew what is wrong"


def folder(dtype: torch.dtype, offline: bool | None, working: int, quiet: bool, check: bool = False) -> Path:
    """The model's folder in the local cache, downloaded now if need be.

    working: the memory that using it takes, in bytes, for what is told before a download. check: look at every byte of
    what is there first, and fetch anew what is wrong. Errors: ConnectionError, OSError (too little disk), ValueError (a
    file that is not what was published).
    """
    needed = weights(dtype)
    if check and (faults := _delete_wrong(needed)):
        print(f"{faults}: deleted.", file=sys.stderr)
    missing = [name for name in (*needed, *CONFIGS) if _cached(name) is None]
    if missing:
        _check_online(missing, offline, dtype)
        _check_disk(missing_bytes := sum(needed[name]["bytes"] for name in missing if name in needed))
        if not quiet:
            print(f"Downloading {missing_bytes / 1e9:.2f} GB of {MODELSCOPE} (licence {LICENCE}) to "
                  f"{constants.HF_HUB_CACHE}; using it takes {working / 2**30:.1f} GiB of memory.",
                  file=sys.stderr)  # fmt: skip
        _download(list(needed))
        if faults := _delete_wrong(needed):
            raise ValueError(f"{faults}: what is wrong was deleted, so load or download the model again.")
    for name, expected in needed.items():
        if fault := _size_fault(_cached(name), expected):
            raise ValueError(f"{fault}: {again(dtype)}.")
    return _cached("model_index.json").parent


def _stored(dtype: torch.dtype) -> str:
    return "float16" if dtype.itemsize == 2 else "float32"


def _cached(name: str) -> Path | None:
    found = try_to_load_from_cache(MODELSCOPE, name, revision=REVISION)
    return Path(found) if isinstance(found, str) else None


def _check_online(missing: list[str], offline: bool | None, dtype: torch.dtype) -> None:
    if constants.HF_HUB_OFFLINE if offline is None else offline:
        raise ConnectionError(
            f"{len(missing)} files of {MODELSCOPE} are not in {constants.HF_HUB_CACHE}, and offline is set: fetch them "
            f"with `t2v download --dtype {_stored(dtype)}`, with a network and HF_HUB_OFFLINE unset, or use 'cartoon'."
        )


def _check_disk(needed: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    if free < needed:
        raise OSError(
            f"{MODELSCOPE} needs {needed / 1e9:.2f} GB of disk, but {cache} has {free / 1e9:.2f} GB free: "
            "delete something, or let HF_HOME name a folder on a larger disk."
        )


def _download(weights: list[str]) -> None:
    try:
        HfApi().model_info(MODELSCOPE, revision=REVISION, timeout=20)  # asks once; the download would ask for long
        snapshot_download(MODELSCOPE, revision=REVISION, allow_patterns=[*CONFIGS, *weights])
    except (HTTPError, OSError, RuntimeError, *_NO_ANSWER) as error:
        told, step = _what_and_next(error)
        raise ConnectionError(f"{MODELSCOPE} could not be downloaded ({told}): {step}; {_OR}") from error
    missing = [name for name in (*weights, *CONFIGS) if _cached(name) is None]
    if missing:
        raise ConnectionError(
            f"{MODELSCOPE} could not be downloaded ({constants.ENDPOINT} lists no {', '.join(missing)}): {_NEXT[404]}; "
            f"{_OR}"
        )


def _what_and_next(error: Exception) -> tuple[str, str]:
    """What the hub answered, or what went wrong on the way to it; and what to do."""
    if files.disk_full(error):
        return reason(error), "delete something, or let HF_HOME name a folder on a larger disk"
    if getattr(error, "filename", None):
        return reason(error), "let HF_HOME name a folder that you may write to"
    refusal = next((one for one in _chain(error) if getattr(one, "response", None) is not None), None)
    if refusal is None and isinstance(error, _NO_ANSWER):
        return reason(error), _NO_HUB
    if refusal is None:
        return reason(error), f"check the network (the hub is {constants.ENDPOINT}) and load it again"
    status = refusal.response.status_code
    answer = f"{constants.ENDPOINT} answers {status}"
    if isinstance(refusal, GatedRepoError):
        return answer, f"accept its licence at https://huggingface.co/{MODELSCOPE}, then type `hf auth login`"
    return answer, _NEXT.get(status, "it has trouble of its own: try again later")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that led to it: the library wraps a refusal that comes after its first request."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


# --- what is in the files


def _delete_wrong(needed: dict[str, dict]) -> str:
    """Look at every byte of what is there, and delete what is not as published: what that was, or ""."""
    there = {name: path for name in (*needed, *CONFIGS) if (path := _cached(name))}
    faults = {name: fault for name, path in there.items() if (fault := _fault(name, path, needed))}
    for name in faults:
        _delete(there[name])
    return "; ".join(dict.fromkeys(faults.values()))


def _delete(path: Path) -> None:
    path.resolve().unlink()
    path.unlink(missing_ok=True)  # where the system has links, the file above was what it names


def _fault(name: str, path: Path, needed: dict[str, dict]) -> str | None:
    if name in needed:
        return _size_fault(path, needed[name]) or _hash_fault(path, needed[name])
    if CONFIGS[name]:
        return None if _json(path) == _json(MODELSCOPE_SHAPES / CONFIGS[name]) else f"{path} is not as published"
    return _tokenizer_fault(path.parent)


def _size_fault(path: Path, expected: dict) -> str | None:
    size = path.stat().st_size
    return None if size == expected["bytes"] else f"{path} has {size} bytes, but {expected['bytes']} are expected"


def _hash_fault(path: Path, expected: dict) -> str | None:
    found = files.sha256(path)
    return None if found == expected["sha256"] else f"{path} has SHA-256 {found}, but {expected['sha256']} is expected"


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _tokenizer_fault(folder: Path) -> str | None:
    """What is wrong with vocabulary and merges, where both are there."""
    if not all((folder / name).exists() for name in ("vocab.json", "merges.txt")):
        return None
    try:
        byte_pairs.check(folder)
    except ValueError as error:
        return str(error)[:-1]
