"""A folder like the hub's cache, with random weights: what `loading.load("modelscope")` finds there, but untrained.

File names, tensor names and shapes, and file sizes are the published ones. A weights file is written tensor by tensor,
so it takes little memory whatever its size. Both variants hold the same numbers.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from t2v_helpers.cartoon.tokenizer import vocabulary_of_size
from t2v_helpers.core import checking, files
from t2v_helpers.core.seeding import generator
from t2v_helpers.model import folders, hub, loading

MARK, README = "dry_run.json", "README.txt"
WHAT = """Random weights in the layout of ali-vilab/text-to-video-ms-1.7b, made by `make dry-run`.

They are untrained and make no videos. They show that loading and running works, and how much memory it takes.
Nothing else uses this folder: delete it whenever you like.
"""
_DTYPES = {torch.int64: "I64", torch.float32: "F32", torch.float16: "F16"}  # a file has the wider ones first


@dataclass(frozen=True)
class Cache:
    """Where the random weights are, and their shapes. shapes: a folder like t2v_helpers/model/modelscope."""

    root: Path
    shapes: Path = hub.MODELSCOPE_SHAPES
    seed: int = 0

    @property
    def hub_cache(self) -> Path:
        """The value of HF_HUB_CACHE while the weights are loaded."""
        return self.root / "hub"

    @property
    def snapshot(self) -> Path:
        """The pipeline's folder, where huggingface_hub looks for the pinned revision."""
        return self.hub_cache / f"models--{hub.MODELSCOPE.replace('/', '--')}" / "snapshots" / hub.REVISION

    @property
    def model(self) -> str:
        """The argument of `loading.load`: the real model's name, or for other shapes the folder."""
        return "modelscope" if self.shapes == hub.MODELSCOPE_SHAPES else str(self.snapshot)


@dataclass(frozen=True)
class Weights:
    """A weights file. tensors: (published name, tensor of its shape and dtype), in the file's order."""

    path: Path
    tensors: tuple[tuple[str, torch.Tensor], ...]
    header: bytes

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return 8 + len(self.header) + sum(tensor.nbytes for _, tensor in self.tensors)

    @property
    def missing(self) -> bool:
        """Whether the file is absent or has another size."""
        return not self.path.is_file() or self.path.stat().st_size != self.size


def prepare(cache: Cache, variants: Iterable[str | None]) -> list[Weights]:
    """Write what the folder lacks, keep what is whole, and return its weights files.

    variants: None for float32, "fp16". Errors: ValueError (weights of another shape or seed, file sizes that are not
    the published ones), OSError (too little disk); those of `checking.replaceable`.
    """
    checking.replaceable(cache.root, MARK, "a dry run")
    if (cache.root / MARK).is_file() and folders.read(cache.root / MARK) != _mark(cache):
        where = files.named(cache.root)
        raise ValueError(f"{where} holds weights of another shape or seed: delete it, or name a new folder.")
    write_texts(cache)
    planned = [file for variant in variants for file in plan(cache, variant)]
    lacking = [file for file in planned if file.missing]
    total = sum(file.size for file in lacking)
    checking.room_on_disk(cache.root, total, "a dry run's random weights")
    with tqdm(total=total, desc="random weights", unit="B", unit_scale=True, delay=0.5) as bar:
        for file in lacking:
            files.write_whole(file.path, partial(_write, file, cache.seed, bar.update))
    return planned


def plan(cache: Cache, variant: str | None) -> list[Weights]:
    """A variant's files, from the configs alone. ValueError: this version of diffusers needs files of another size."""
    parts = loading.skeleton(cache.snapshot)
    sizes = cache.shapes / "weights.json"
    published = files.read_json(sizes)[variant or ""] if sizes.is_file() else {}
    return [_planned(cache.snapshot, part, module, variant, published) for part, module in parts.items()]


def _planned(snapshot: Path, part: str, module: torch.nn.Module, variant: str | None, published: dict) -> Weights:
    stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
    name = f"{part}/{stem}.{'fp16.' if variant else ''}safetensors"
    order = list(_DTYPES)
    tensors = tuple(sorted(_published(part, module, variant), key=lambda pair: (order.index(pair[1].dtype), pair[0])))
    bare = Weights(snapshot / name, tensors, _header(tensors))
    asked = published.get(name, {}).get("bytes", bare.size + -len(bare.header) % 8)
    if not 0 <= asked - bare.size < 8:  # spaces pad the header, as the format allows
        raise ValueError(
            f"{name} has {asked} bytes as published, but this version of diffusers needs {bare.size}: "
            "install the versions in constraints.txt."
        )
    return replace(bare, header=bare.header + b" " * (asked - bare.size))


def _published(part: str, module: torch.nn.Module, variant: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """Names of 2023, each with a tensor on the meta device."""
    dtype = torch.float16 if variant else torch.float32
    for name, tensor in module.state_dict().items():
        yield folders.published_name(part, name), tensor.to(dtype)
    if part == "text_encoder":
        places = module.config.max_position_embeddings
        yield "text_model.embeddings.position_ids", torch.empty(1, places, dtype=torch.int64, device="meta")


def _header(tensors: Iterable[tuple[str, torch.Tensor]]) -> bytes:
    """The JSON at the start of a safetensors file: each tensor's dtype, shape and position."""
    entries, start = {"__metadata__": {"format": "pt"}}, 0
    for name, tensor in tensors:
        end = start + tensor.nbytes
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    return json.dumps(entries, separators=(",", ":")).encode()


def _write(file: Weights, seed: int, progress: Callable[[int], object], path: Path) -> None:
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(file.header)) + file.header)
        progress(8 + len(file.header))
        for name, tensor in file.tensors:
            out.write(memoryview(numbers(name, tensor, seed).numpy()).cast("B"))
            progress(tensor.nbytes)


def numbers(name: str, like: torch.Tensor, seed: int) -> torch.Tensor:
    """Random numbers of `like`'s shape and dtype: a function of seed and name, and exact in float16.

    Matrices and kernels: normal with variance 1 / inputs, so that activations keep their size (LeCun et al. 1998,
    "Efficient BackProp", section 4.6). Norms' weights are 1, biases 0.
    """
    if like.dtype == torch.int64:
        return torch.arange(like.numel()).reshape(like.shape)
    if like.dim() < 2:
        return torch.full(like.shape, float(name.endswith("weight")), dtype=like.dtype)
    drawn = int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest()[:8], 16)
    inputs = math.prod(like.shape[1:])
    return torch.randn(like.shape, generator=generator(drawn)).mul_(inputs**-0.5).half().to(like.dtype)


def write_texts(cache: Cache) -> None:
    """Write everything but the weights. The mark comes first, so that a stopped run's folder is recognised."""
    size = folders.read(cache.shapes / "text_encoder.json")["vocab_size"]
    texts = {name: files.read_text(cache.shapes / copy) for name, copy in hub.CONFIGS.items() if copy}
    texts |= {f"tokenizer/{name}": text for name, text in built_tokenizer(size, cache.shapes).items()}
    files.write_text(cache.root / MARK, json.dumps(_mark(cache), indent=2) + "\n")
    files.write_text(cache.root / README, WHAT)
    for name, text in texts.items():
        files.write_text(cache.snapshot / name, text)


def _mark(cache: Cache) -> dict:
    """What decides the numbers: the shapes of the parts, and the seed."""
    shapes = {part: folders.read(cache.shapes / f"{part}.json") for part in folders.PARTS}
    return {"shapes": hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest(), "seed": cache.seed}


def built_tokenizer(size: int, shapes: Path) -> dict[str, str]:
    """File -> its text, for a tokenizer of `size` tokens that knows the words of the cartoon world."""
    vocabulary, merges = vocabulary_of_size(size)
    made = {"vocab.json": json.dumps(vocabulary), "merges.txt": "\n".join(["#version: 0.2", *merges, ""])}
    configs = "special_tokens_map.json", "tokenizer_config.json"
    return made | {name: files.read_text(shapes / name) for name in configs}
