"""A model's local copy: where it is, how it is downloaded (by huggingface_hub), and whether it is intact.

The download is pinned: its revision, its files and their contents. After a download, and for `t2v download`, every
byte is checked: the weights against the published hashes, the configs against the copies that ship with the course,
the tokenizer's vocabulary and merges against each other. A file that fails is deleted, so that the next try fetches
it again. When nothing is missing, loading compares only the sizes of the weights, which is free.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HTTPError

from t2v_helpers.core import checking, files, paths
from t2v_helpers.core.files import reason
from t2v_helpers.model import folders
from t2v_helpers.model.folders import manifests

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
    variant or None: entries for variant, entries in files.read_json(MODELSCOPE_SHAPES / "weights.json").items()
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


@dataclass(frozen=True)
class Repository:
    """A model on the hub: its pinned revision, its licence, and the command that fetches it.

    hashed: file -> its "bytes" and "sha256". texts: files without a hash -> their copies in MODELSCOPE_SHAPES.
    """

    name: str
    revision: str
    licence: str
    command: str
    hashed: Mapping[str, dict]
    texts: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def again(self) -> str:
        """What to do about a damaged copy, as the end of a sentence."""
        return f"type `{self.command}`, which checks every byte and fetches again what is wrong"

    @property
    def size(self) -> int:
        """Bytes of all files with a hash, for modelscope its weights."""
        return sum(entry["bytes"] for entry in self.hashed.values())

    def cached(self, name: str) -> Path | None:
        """Where a file is, if it was downloaded before."""
        found = try_to_load_from_cache(self.name, name, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def missing(self) -> list[str]:
        """The files that were not."""
        return [name for name in (*self.hashed, *self.texts) if self.cached(name) is None]


def modelscope(dtype: torch.dtype) -> Repository:
    """The real model, with its weights for that dtype; bfloat16 has fewer digits than fp16."""
    stored, variant = ("float16", "fp16") if dtype.itemsize == 2 else ("float32", None)
    return Repository(MODELSCOPE, REVISION, LICENCE, f"t2v download --dtype {stored}", WEIGHTS[variant], CONFIGS)


def fetched(repo: Repository, offline: bool | None, working: int, quiet: bool, check: bool = False) -> Path:
    """The model's folder in the local cache, downloaded now if need be.

    offline: None uses $HF_HUB_OFFLINE. working: the memory that running it takes, in bytes, printed before a download
    unless quiet. check: first check every byte of what is there.
    Errors: ConnectionError; OSError (too little disk); ValueError (a file is not the published one).
    """
    if check and (faults := _delete_wrong(repo)):
        print(f"{faults}: deleted.", file=sys.stderr)
    if missing := repo.missing():
        _check_online(repo, missing, offline)
        download_bytes = sum(repo.hashed[name]["bytes"] for name in missing if name in repo.hashed)
        checking.room_on_disk(constants.HF_HUB_CACHE, download_bytes, f"{repo.name} (HF_HOME names its folder)")
        if not quiet:
            print(f"Downloading {download_bytes / 1e9:.2f} GB of {repo.name} (licence {repo.licence}) to "
                  f"{constants.HF_HUB_CACHE}; using it takes {working / 2**30:.1f} GiB of memory.",
                  file=sys.stderr)  # fmt: skip
        _download(repo)
        if faults := _delete_wrong(repo):
            raise ValueError(f"{faults}: what is wrong was deleted, so load or download the model again.")
    for name, expected in repo.hashed.items():
        if fault := manifests.fault(repo.cached(name), expected, unread=True):
            raise ValueError(f"{fault}: {repo.again}.")
    return repo.cached("model_index.json").parent


def _check_online(repo: Repository, missing: list[str], offline: bool | None) -> None:
    if constants.HF_HUB_OFFLINE if offline is None else offline:
        raise ConnectionError(
            f"{len(missing)} files of {repo.name} are not in {constants.HF_HUB_CACHE}, and offline is set: fetch them "
            f"with `{repo.command}`, with a network and HF_HUB_OFFLINE unset, or use 'cartoon'."
        )


def _download(repo: Repository) -> None:
    try:
        HfApi().model_info(repo.name, revision=repo.revision, timeout=20)  # asks once, where the download would retry
        snapshot_download(repo.name, revision=repo.revision, allow_patterns=[*repo.texts, *repo.hashed])
    except (HTTPError, OSError, RuntimeError, *_NOT_A_HUB) as error:
        raise _failed(repo, *_cause_and_advice(repo, error)) from error
    if missing := repo.missing():
        raise _failed(repo, f"{constants.ENDPOINT} lists no {', '.join(missing)}", _ADVICE[404])


def _failed(repo: Repository, cause: str, advice: str) -> ConnectionError:
    return ConnectionError(f"{repo.name} could not be downloaded ({cause}): {advice}; {_OTHERWISE}")


def _cause_and_advice(repo: Repository, error: Exception) -> tuple[str, str]:
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
        return answer, f"accept its licence at https://huggingface.co/{repo.name}, then type `hf auth login`"
    return answer, _ADVICE.get(status, "it has problems of its own: try again later")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes: the library wraps a refusal that comes after its first request."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _delete_wrong(repo: Repository) -> str:
    """Check every byte of what is there, and delete the files that are not as published: their faults, or ""."""
    there = {name: path for name in (*repo.hashed, *repo.texts) if (path := repo.cached(name))}
    faults = {name: fault for name, path in there.items() if (fault := _fault(repo, name, path))}
    for name in faults:
        there[name].resolve().unlink()
        there[name].unlink(missing_ok=True)  # the link to it, where the system has links
    return "; ".join(dict.fromkeys(faults.values()))


def _fault(repo: Repository, name: str, path: Path) -> str | None:
    if name in repo.hashed:
        return manifests.fault(path, repo.hashed[name])
    shipped = repo.texts[name]
    try:
        if shipped and folders.read(path) != folders.read(MODELSCOPE_SHAPES / shipped):
            return f"{path} is not as published"
        if not shipped and all(path.with_name(each).exists() for each in ("vocab.json", "merges.txt")):
            folders.vocabulary(path.parent)
    except ValueError as error:
        return f"{path} is not as published" if shipped else str(error).removesuffix(f": {folders.AGAIN}.")
    return None
