"""The real model's local copy: where it is, how it is downloaded (by huggingface_hub), and whether it is intact.

The download is pinned: its revision, its files and their contents. After a download, and for `t2v download`, every
byte is checked: the weights against the published hashes, the configs against the copies that ship with the course,
the tokenizer's vocabulary and merges against each other. A file that fails is deleted, so that the next try fetches
it again. When nothing is missing, loading compares only the sizes of the weights, which is free.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HTTPError

from t2v_helpers.core import checking, files, paths
from t2v_helpers.core.files import reason
from t2v_helpers.model import folder_checks

MODELSCOPE_SHAPES = paths.PACKAGE / "model" / "modelscope"  # its published configs, and the sizes of its files
MODELSCOPE = "ali-vilab/text-to-video-ms-1.7b"
REVISION = "8227dddca75a8561bf858d604cc5dae52b954d01"  # the one that was tested
LICENCE = "CC-BY-NC 4.0, not for commercial use"
CONFIGS = {  # file -> its copy in MODELSCOPE_SHAPES; the two without one are long, and are checked against each other
    "model_index.json": "model_index.json", "scheduler/scheduler_config.json": "scheduler.json",
    "text_encoder/config.json": "text_encoder.json", "tokenizer/merges.txt": None,
    "tokenizer/special_tokens_map.json": "special_tokens_map.json",
    "tokenizer/tokenizer_config.json": "tokenizer_config.json", "tokenizer/vocab.json": None,
    "unet/config.json": "unet.json", "vae/config.json": "vae.json",
}  # fmt: skip
WEIGHTS = {  # variant -> file -> its "bytes" and "sha256", from the repository's LFS pointers
    variant or None: entries
    for variant, entries in json.loads((MODELSCOPE_SHAPES / "weights.json").read_text(encoding="utf-8")).items()
}
_TOKEN = "type `hf auth login`, or remove a token that is old (HF_TOKEN)"
_ADVICE = {  # the hub's HTTP status -> what to do about it
    401: f"it asks who you are: {_TOKEN}",
    403: f"it refuses access: {_TOKEN}",
    404: "it does not have this model or revision: see whether HF_ENDPOINT names the right hub",
    429: "it received too many requests: wait some minutes",
}
_NO_HUB = "see whether this network wants a login in a browser, and HF_ENDPOINT, HTTPS_PROXY and HF_TOKEN are right"
_NOT_A_HUB = (ValueError, TypeError, LookupError, AttributeError)  # huggingface_hub's, on an answer that is not a hub's
_OTHERWISE = "files already there are kept; or use the model 'cartoon'."


def weights(dtype: torch.dtype) -> dict[str, dict]:
    """The files of weights for that dtype, each with its "bytes" and "sha256"."""
    return WEIGHTS["fp16" if dtype.itemsize == 2 else None]  # bfloat16 has fewer digits than fp16


def size(dtype: torch.dtype) -> int:
    """Bytes of all weights for that dtype."""
    return sum(entry["bytes"] for entry in weights(dtype).values())


def again(dtype: torch.dtype) -> str:
    """What to do about a damaged copy, as the end of a sentence."""
    return f"type `t2v download --dtype {_stored(dtype)}`, which checks every byte and fetches again what is wrong"


def folder(dtype: torch.dtype, offline: bool | None, working: int, quiet: bool, check: bool = False) -> Path:
    """The model's folder in the local cache, downloaded now if need be.

    offline: None uses $HF_HUB_OFFLINE. working: the memory that running it takes, in bytes, printed before a download
    unless quiet. check: first check every byte of what is there.
    Errors: ConnectionError; OSError (too little disk); ValueError (a file is not the published one).
    """
    needed = weights(dtype)
    if check and (faults := _delete_wrong(needed)):
        print(f"{faults}: deleted.", file=sys.stderr)
    if missing := _missing(needed):
        _check_online(missing, offline, dtype)
        download_bytes = sum(needed[name]["bytes"] for name in missing if name in needed)
        checking.room_on_disk(constants.HF_HUB_CACHE, download_bytes, f"{MODELSCOPE} (HF_HOME names its folder)")
        if not quiet:
            print(f"Downloading {download_bytes / 1e9:.2f} GB of {MODELSCOPE} (licence {LICENCE}) to "
                  f"{constants.HF_HUB_CACHE}; using it takes {working / 2**30:.1f} GiB of memory.",
                  file=sys.stderr)  # fmt: skip
        _download(needed)
        if faults := _delete_wrong(needed):
            raise ValueError(f"{faults}: what is wrong was deleted, so load or download the model again.")
    for name, expected in needed.items():
        if fault := files.size_fault(_cached(name), expected):
            raise ValueError(f"{fault}: {again(dtype)}.")
    return _cached("model_index.json").parent


def _stored(dtype: torch.dtype) -> str:
    return "float16" if dtype.itemsize == 2 else "float32"


def _cached(name: str) -> Path | None:
    found = try_to_load_from_cache(MODELSCOPE, name, revision=REVISION)
    return Path(found) if isinstance(found, str) else None


def _missing(needed: dict[str, dict]) -> list[str]:
    return [name for name in (*needed, *CONFIGS) if _cached(name) is None]


def _check_online(missing: list[str], offline: bool | None, dtype: torch.dtype) -> None:
    if constants.HF_HUB_OFFLINE if offline is None else offline:
        raise ConnectionError(
            f"{len(missing)} files of {MODELSCOPE} are not in {constants.HF_HUB_CACHE}, and offline is set: fetch them "
            f"with `t2v download --dtype {_stored(dtype)}`, with a network and HF_HUB_OFFLINE unset, or use 'cartoon'."
        )


def _download(needed: dict[str, dict]) -> None:
    try:
        HfApi().model_info(MODELSCOPE, revision=REVISION, timeout=20)  # asks once; the download would retry for long
        snapshot_download(MODELSCOPE, revision=REVISION, allow_patterns=[*CONFIGS, *needed])
    except (HTTPError, OSError, RuntimeError, *_NOT_A_HUB) as error:
        raise _failed(*_cause_and_advice(error)) from error
    if missing := _missing(needed):
        raise _failed(f"{constants.ENDPOINT} lists no {', '.join(missing)}", _ADVICE[404])


def _failed(cause: str, advice: str) -> ConnectionError:
    return ConnectionError(f"{MODELSCOPE} could not be downloaded ({cause}): {advice}; {_OTHERWISE}")


def _cause_and_advice(error: Exception) -> tuple[str, str]:
    """What the hub answered, or what failed on the way to it; and what to do."""
    if files.disk_full(error):
        return reason(error), "delete something, or let HF_HOME name a folder on a larger disk"
    if getattr(error, "filename", None):
        return reason(error), "let HF_HOME name a folder that you may write to"
    refusal = next((one for one in _chain(error) if getattr(one, "response", None) is not None), None)
    if refusal is None and isinstance(error, _NOT_A_HUB):
        return reason(error), _NO_HUB
    if refusal is None:
        return reason(error), f"check the network (the hub is {constants.ENDPOINT}) and load it again"
    status = refusal.response.status_code
    answer = f"{constants.ENDPOINT} answers {status}"
    if isinstance(refusal, GatedRepoError):
        return answer, f"accept its licence at https://huggingface.co/{MODELSCOPE}, then type `hf auth login`"
    return answer, _ADVICE.get(status, "it has problems of its own: try again later")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: the library wraps a refusal that comes after its first request."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


# --- contents of the files


def _delete_wrong(needed: dict[str, dict]) -> str:
    """Check every byte of what is there, and delete the files that are not as published: their faults, or ""."""
    there = {name: path for name in (*needed, *CONFIGS) if (path := _cached(name))}
    faults = {name: fault for name, path in there.items() if (fault := _fault(name, path, needed))}
    for name in faults:
        there[name].resolve().unlink()
        there[name].unlink(missing_ok=True)  # the link to it, where the system has links
    return "; ".join(dict.fromkeys(faults.values()))


def _fault(name: str, path: Path, needed: dict[str, dict]) -> str | None:
    if name in needed:
        return files.fault(path, needed[name])
    try:
        if CONFIGS[name] is None:
            return _tokenizer_fault(path.parent)
        same = folder_checks.read(path) == folder_checks.read(MODELSCOPE_SHAPES / CONFIGS[name])
    except ValueError:
        same = False
    return None if same else f"{path} is not as published"


def _tokenizer_fault(folder: Path) -> str | None:
    """What is wrong with vocabulary and merges, once both are there."""
    if not all((folder / name).exists() for name in ("vocab.json", "merges.txt")):
        return None
    try:
        folder_checks.check_tokenizer(folder)
    except ValueError as error:
        return str(error).removesuffix(f": {folder_checks.AGAIN}.")
