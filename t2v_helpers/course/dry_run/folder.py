"""A folder as the hub's, with random weights: what `loading.load("modelscope")` finds in its cache, but never trained.

The file names, the names and shapes of the tensors and the sizes of the files are the published ones. A weights file is
written tensor by tensor, so that it takes little memory, whatever its size. Both variants hold the same numbers.
"""

import hashlib
import json
import math
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from t2v_helpers.cartoon.tokenizer import END, START, vocabulary_of_size
from t2v_helpers.core import files
from t2v_helpers.core.seeding import generator
from t2v_helpers.model import byte_pairs, folder_checks, hub, loading

MARK, README = "dry_run.json", "README.txt"
TOKENIZER_FILES = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
WHAT = """Random weights in the layout of ali-vilab/text-to-video-ms-1.7b, made by `make dry-run`.

Nobody trained them, and they make no videos. They show that loading and running works, and how much memory it takes.
Nothing else uses this folder: delete it whenever you like.
"""
_DTYPES = {torch.int64: "I64", torch.float32: "F32", torch.float16: "F16"}  # a file has the wider ones first


@dataclass(frozen=True)
class Cache:
    """Where the random weights lie, and of what shape. shapes: a folder like t2v_helpers/modelscope."""

    root: Path
    shapes: Path = hub.MODELSCOPE_SHAPES
    seed: int = 0

    @property
    def hub_cache(self) -> Path:
        """What HF_HUB_CACHE names while the weights are loaded."""
        return self.root / "hub"

    @property
    def snapshot(self) -> Path:
        """The folder with the pipeline, where the hub's library looks for the pinned revision."""
        return self.hub_cache / f"models--{hub.MODELSCOPE.replace('/', '--')}" / "snapshots" / hub.REVISION

    @property
    def model(self) -> str:
        """What `loading.load` is given: the real model's name, and for other shapes the folder."""
        return "modelscope" if self.shapes == hub.MODELSCOPE_SHAPES else str(self.snapshot)


@dataclass(frozen=True)
class Weights:
    """A file of weights. tensors: the name as published, and a tensor of its shape and dtype, in the file's order."""

    path: Path
    tensors: tuple[tuple[str, torch.Tensor], ...]
    header: bytes

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return 8 + len(self.header) + sum(tensor.nbytes for _, tensor in self.tensors)

    @property
    def missing(self) -> bool:
        """True until the whole file is there."""
        return not self.path.is_file() or self.path.stat().st_size != self.size


def prepare(
    cache: Cache, variants: Iterable[str | None], tokenizer: Path | None = None, progress: Callable | None = None
) -> list[Weights]:
    """Write what the folder lacks, and give back its weights files. What is whole is kept.

    variants: None for float32, "fp16". tokenizer: a folder with a CLIP tokenizer; without one, one is built.
    progress: called with the bytes written since the last call, and the bytes that are to be written.
    Errors: ValueError (a folder with something else in it, a tokenizer that is damaged or of another size, sizes that
    are not the published ones), FileNotFoundError (no tokenizer), OSError (too little disk); those of
    `files.check_target`.
    """
    check_place(cache)
    write_texts(cache, tokenizer)
    for left in cache.snapshot.glob("*/.*.safetensors"):  # by a run that was killed while it wrote
        left.unlink()
    planned = [file for variant in variants for file in plan(cache, variant)]
    lacking = [file for file in planned if file.missing]
    check_disk(cache.root, sum(file.size for file in lacking))
    for file in lacking:
        _write(file, cache.seed, lambda n: progress and progress(n, sum(one.size for one in lacking)))
    return planned


def check_place(cache: Cache) -> None:
    """Know that the folder is ours, or new. Errors: ValueError; those of `files.check_target`. Nothing is written."""
    files.check_target(cache.root / MARK)
    if not cache.root.is_dir() or not any(cache.root.iterdir()):
        return
    if not (cache.root / MARK).is_file():
        raise ValueError(f"{cache.root} holds files, but no weights of a dry run: name a new folder with --folder.")
    found = folder_checks.read(cache.root / MARK)
    if found != _mark(cache):
        raise ValueError(
            f"{cache.root} holds random weights of another shape or seed: delete it, or name a new folder."
        )


def check_disk(root: Path, needed: int) -> None:
    """OSError where the disk has fewer bytes free than are `needed`."""
    free = shutil.disk_usage(next(one for one in (root, *root.absolute().parents) if one.exists())).free
    if free < needed:
        raise OSError(
            f"the random weights need {needed / 1e9:.2f} GB of disk, but {root} has {free / 1e9:.2f} GB free: "
            "delete something, or name a folder on a larger disk with --folder."
        )


def plan(cache: Cache, variant: str | None) -> list[Weights]:
    """The files of a variant, from the configs alone. ValueError: this diffusers would need files of another size."""
    parts = loading.skeleton(cache.snapshot)
    sizes = cache.shapes / "weights.json"
    published = json.loads(sizes.read_text(encoding="utf-8"))[variant or ""] if sizes.is_file() else {}
    return [_planned(cache.snapshot, part, module, variant, published) for part, module in parts.items()]


def _planned(snapshot: Path, part: str, module: torch.nn.Module, variant: str | None, published: dict) -> Weights:
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    name = f"{part}/{stem}.{'fp16.' if variant else ''}safetensors"
    tensors = tuple(sorted(_published(part, module, variant), key=lambda pair: (_rank(pair[1]), pair[0])))
    header = _header(tensors)
    bare = Weights(snapshot / name, tensors, header)
    asked = published.get(name, {}).get("bytes", bare.size + -len(header) % 8)
    if not 0 <= asked - bare.size < 8:  # the header is filled up with spaces, as the format allows
        raise ValueError(
            f"{name} has {asked} bytes as published, but with this diffusers the network takes {bare.size}: "
            "install the versions in constraints.txt."
        )
    return Weights(snapshot / name, tensors, header + b" " * (asked - bare.size))


def _published(part: str, module: torch.nn.Module, variant: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """Names as they were in 2023, with a tensor on the meta device."""
    dtype = torch.float16 if variant else torch.float32
    for name, tensor in module.state_dict().items():
        yield folder_checks.published_name(part, name), tensor.to(dtype)
    if part == "text_encoder":
        places = module.config.max_position_embeddings
        yield "text_model.embeddings.position_ids", torch.empty(1, places, dtype=torch.int64, device="meta")


def _rank(tensor: torch.Tensor) -> int:
    return list(_DTYPES).index(tensor.dtype)


def _header(tensors: Iterable[tuple[str, torch.Tensor]]) -> bytes:
    """The JSON at the start of a safetensors file: for each tensor its dtype, its shape, and where its bytes stand."""
    entries, start = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors:
        end = start + tensor.nbytes
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    return json.dumps(entries, separators=(",", ":")).encode()


# --- writing


def _write(file: Weights, seed: int, progress: Callable[[int], object]) -> None:
    def stream(path: Path) -> None:
        with path.open("wb") as out:
            out.write(struct.pack("<Q", len(file.header)) + file.header)
            progress(8 + len(file.header))
            for name, tensor in file.tensors:
                out.write(memoryview(numbers(name, tensor, seed).numpy()).cast("B"))
                progress(tensor.nbytes)

    files.write_whole(file.path, stream)


def numbers(name: str, like: torch.Tensor, seed: int) -> torch.Tensor:
    """Random numbers of that shape and dtype, which depend on the seed and the name alone, and are exact in float16.

    Matrices and kernels: normal, variance 1 / inputs, so that what goes through keeps its size (LeCun et al. 1998,
    "Efficient BackProp", section 4.6). Norms start at 1, and what is added at 0.
    """
    if like.dtype == torch.int64:
        return torch.arange(like.numel()).reshape(like.shape)
    if like.dim() < 2:
        return torch.full(like.shape, float(name.endswith("weight")), dtype=like.dtype)
    drawn = int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:8], 16)
    inputs = math.prod(like.shape[1:])
    return torch.randn(like.shape, generator=generator(drawn)).mul_(inputs**-0.5).half().to(like.dtype)


def write_texts(cache: Cache, tokenizer: Path | None = None) -> None:
    """Write all but the weights. The mark comes first: whatever stops the run, the folder is known again."""
    size = folder_checks.read(cache.shapes / "text_encoder.json")["vocab_size"]
    spelled = _copied_tokenizer(tokenizer, size, cache.shapes) if tokenizer else built_tokenizer(size, cache.shapes)
    configs = {f"{part}/config.json": f"{part}.json" for part in folder_checks.PARTS}
    configs |= {"scheduler/scheduler_config.json": "scheduler.json", "model_index.json": "model_index.json"}
    texts = {name: (cache.shapes / source).read_text(encoding="utf-8") for name, source in configs.items()}
    texts |= {f"tokenizer/{name}": text for name, text in spelled.items()}
    files.write_text(cache.root / MARK, json.dumps(_mark(cache), indent=2) + "\n")
    files.write_text(cache.root / README, WHAT)
    for name, text in texts.items():
        files.write_text(cache.snapshot / name, text)


def _mark(cache: Cache) -> dict:
    """What decides the numbers: the shapes of the parts, and the seed."""
    shapes = {part: folder_checks.read(cache.shapes / f"{part}.json") for part in folder_checks.PARTS}
    return {"shapes": hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest(), "seed": cache.seed}


def built_tokenizer(size: int, shapes: Path) -> dict[str, str]:
    """File -> its text, for a tokenizer of `size` tokens that knows the words of the cartoon world."""
    return _spelled(*vocabulary_of_size(size), shapes)


def _copied_tokenizer(folder: Path, size: int, shapes: Path) -> dict[str, str]:
    """File -> its text, with the vocabulary and the merges in `folder`, in either form that transformers saves."""
    vocabulary, merges = _read_tokenizer(folder)
    if sorted(vocabulary.values()) != list(range(size)) or not {START, END} <= set(vocabulary):
        raise ValueError(
            f"{folder} has {len(vocabulary)} tokens, but the text encoder knows {size}, numbered from 0, with "
            f"{START} and {END}: name another."
        )
    return _spelled(vocabulary, merges, shapes)


def _spelled(vocabulary: dict[str, int], merges: Iterable[str], shapes: Path) -> dict[str, str]:
    made = {"vocab.json": json.dumps(vocabulary), "merges.txt": "\n".join(["#version: 0.2", *merges, ""])}
    return made | {name: (shapes / name).read_text(encoding="utf-8") for name in TOKENIZER_FILES if name not in made}


def _read_tokenizer(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Token -> its number, and the merges, "a b" each. Errors: FileNotFoundError; ValueError: they are damaged."""
    whole, vocabulary, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    older = vocabulary.is_file() and merges.is_file()
    if not older and not whole.is_file():
        raise FileNotFoundError(
            f"{folder} is no CLIP tokenizer, neither tokenizer.json nor vocab.json with merges.txt is in it: "
            "name its folder."
        )
    folder_checks.check_tokenizer(folder)
    if older:
        return folder_checks.read(vocabulary), byte_pairs.merge_lines(merges)
    model = folder_checks.read(whole)["model"]
    return model["vocab"], [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
