"""What a model does, module by module: shapes, parameters, FLOPs, bytes and time.

    trace = tracing.trace(unet, latents, 500, encoder_hidden_states=text)
    print(trace)                                          where the work is, kind by kind
    print(trace["down_blocks.0.temp_convs.0.conv1.2"])    one module: what goes in, what comes out
    trace.part("mid_block").total.flops                   a part of the model

Every module is a row, named as in the module tree. A row counts what the module does itself; its children's work is
in their rows, so that rows add up. FLOPs are torch's own count: a multiplication and an addition are two. Bytes are
what operations read from and write to memory, an attention or a group norm being one operation. On the meta device
nothing is computed: a model of any size is traced in seconds, without its weights.

The kinds go by the module names of diffusers' UNet3DConditionModel (the course's UNet3D has the same), AutoencoderKL
and diffusion transformers (Wan, LTX-Video, CogVideoX, HunyuanVideo), and of transformers' CLIPTextModel.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from operator import add, sub
from time import perf_counter
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import group_norm, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from t2v_helpers.core import checking, tables, video
from t2v_helpers.inside import activation_memory

KINDS = {  # kind -> pattern of its modules' names; the first match counts
    "time embedding": "time_emb|time_proj",
    "temporal attention": r"(transformer_in|temp_attentions)\b.*\.attn\d",
    "temporal feed-forward": r"(transformer_in|temp_attentions)\b.*\.ff",
    "temporal projection": "transformer_in|temp_attentions",
    "temporal conv": "temp_convs",
    "spatial self-attention": r"attentions\.\d+(\.to_|\.transformer_blocks\.\d+\.attn1|$)",
    "cross-attention": r"attentions\.\d+\.transformer_blocks\.\d+\.attn2",
    "spatial feed-forward": r"attentions\.\d+\.transformer_blocks\.\d+\.ff",
    "spatial projection": r"attentions\.\d+\.(proj_|transformer_blocks)",
    "attention over all": r"^(transformer_)?blocks\.\d+\.attn1?\b",  # of a diffusion transformer, with its projections
    "attention to text": r"^(transformer_)?blocks\.\d+\.attn2",
    "feed-forward": r"^(transformer_)?blocks\.\d+\.ff",
    "patches": "patch_embed|^x_embedder|^proj_(in|out)",
    "text attention": "self_attn",
    "text feed-forward": r"\bmlp",
    "text embedding": "embedding",
    "spatial conv": "conv|resnets|samplers",
}
NORM, REST = "norm", "the rest"  # norms are recognized by their class; the rest is everything else
UNITS = {"text_encoder": "one prompt", "unet": "one guided step", "vae": "decoding one frame"}  # of trace_parts
NORMS = (nn.GroupNorm, nn.LayerNorm)
CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # torch's counter has no formula for it
MAX_FRAMES, MAX_PIXELS = 1000, 8192  # far above any use, and torch can still count an attention's elements
VIEWS = {torch.ops.aten._unsafe_view.default}  # moves nothing, though is_view is false


class Work(NamedTuple):
    """Parameters, FLOPs, bytes read and written, and seconds (0 on the meta device). Works add up."""

    parameters: int = 0
    flops: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(*map(add, self, other))


@dataclass(frozen=True)
class Row:
    """A module and its own work. `input` and `output` are the shapes of its first tensors, None if it was not called;
    `axes` names their axes, such as "(b f) c h w" for frames folded into the batch."""

    name: str
    kind: str
    module: str
    input: tuple[int, ...] | None
    output: tuple[int, ...] | None
    axes: tuple[str, str]
    work: Work

    def __str__(self) -> str:
        both = zip((self.input, self.output), self.axes, strict=True)
        shapes = " -> ".join(f"{'not called' if x is None else list(x)} = [{axes}]" for x, axes in both)
        numbers = f"{self.work.parameters:,} parameters, {si(self.work.flops)}FLOP, {si(self.work.bytes)}B"
        return f"{self.name or 'the model'} ({self.module}, {self.kind}): {shapes}; {numbers}"


@dataclass(frozen=True)
class Trace:
    """The rows of a model, in the order of its module tree; the first is the model itself."""

    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        """The row of that module. ValueError: unknown name."""
        return self.part(name).rows[0]

    def part(self, name: str) -> "Trace":
        """The rows of a module and of all below it. ValueError: unknown name."""
        rows = tuple(row for row in self.rows if name in ("", row.name) or row.name.startswith(f"{name}."))
        if not rows or rows[0].name != name:
            some = ", ".join(repr(row.name) for row in self.rows[1:4])
            given = f"module {checking.shown(name)} is not in this trace"
            raise ValueError(f"{given}: take a name of named_modules(), such as {some}.")
        return Trace(rows)

    @property
    def total(self) -> Work:
        """The work of all rows together."""
        return sum((row.work for row in self.rows), Work())

    def by_kind(self) -> dict[str, Work]:
        """Kind -> its work, the one with the most FLOPs first (and then parameters)."""
        kinds = defaultdict(Work)
        for row in self.rows:
            kinds[row.kind] += row.work
        return dict(sorted(kinds.items(), key=lambda item: (-item[1].flops, -item[1].parameters)))

    def to_dict(self) -> dict:
        """For JSON: the total, and the work of each kind."""
        kinds = {kind: work._asdict() for kind, work in self.by_kind().items()}
        return {"total": self.total._asdict(), "kinds": kinds}

    def __str__(self) -> str:
        """A table of the kinds: parameters, FLOPs and bytes, each with its share; also of time, if measured."""
        whole = self.total
        heads = ["", "parameters", "", "FLOP", "", "bytes", "", *(["time"] if whole.seconds else [])]
        rows = ([name, *_cells(work, whole)] for name, work in (self.by_kind() | {"total": whole}).items())
        return tables.aligned([heads, *rows], right=True)


def trace(model: nn.Module, *inputs, call: Callable | None = None, **kwargs) -> Trace:
    """Run `model(*inputs, **kwargs)` without gradients, and count what each of its modules does.

    call: run this instead of the model itself, such as `vae.decode`. The model runs once to be counted and, except on
    the meta device, once more to be timed. Errors: ValueError (not a module); those of the model.
    """
    counting, timing = _Profiler(model, counting=True), _Profiler(model, counting=False)
    for profiler in [counting] if counting.device.type == "meta" else [counting, timing]:
        with torch.no_grad(), profiler.watching():
            (call or model)(*inputs, **kwargs)
    seconds = {name: work.seconds for name, work in timing.work.items()}
    rows = counting.rows()
    return Trace(tuple(replace(row, work=row.work._replace(seconds=seconds.get(row.name, 0.0))) for row in rows))


def trace_parts(
    parts: Mapping[str, nn.Module], frames: int = 16, height: int | None = None, width: int | None = None
) -> dict[str, Trace]:
    """Part -> its trace, for "text_encoder" (one prompt), "unet" (one guided step) and "vae" (decoding one frame).

    parts: modules as in a pipeline, of one device; loading.skeleton gives them on the meta device. A guided step takes
    the video twice, with the prompt and without (b = 2). height, width: pixels, None for the model's own.
    ValueError: frames, height or width out of range.
    """
    unet, vae = parts["unet"], parts["vae"]
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    own, multiple = scale * unet.config.sample_size, scale * 2 ** (len(unet.config.block_out_channels) - 1)
    height, width = own if height is None else height, own if width is None else width
    video.check_size(frames, height, width, multiple, MAX_FRAMES, MAX_PIXELS)
    return activation_memory.of_parts(trace, parts, frames, height // scale, width // scale)


class _Profiler:
    """Hooks that attribute what is counted between two calls of modules to the innermost running module."""

    def __init__(self, model: nn.Module, counting: bool):
        if not isinstance(model, nn.Module):
            raise ValueError(f"model is a {type(model).__name__}: use a torch module, such as pipe.unet.")
        self.names = {module: name for name, module in model.named_modules()}
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.flops = FlopCounterMode(display=False, custom_mapping={CPU_ATTENTION: _attention_flops})
        self.bytes = _Bytes()
        self.counters = [self.flops, self.bytes, _Fused(self.bytes)] if counting else []
        self.work, self.inputs, self.outputs = defaultdict(Work), {}, {}
        self.running = [""]  # the names of the modules that are running, the innermost last
        self.last = Work()

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in self.names:
                stack.callback(module.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(self._leave, with_kwargs=True, always_call=True).remove)
            for counter in self.counters:
                stack.enter_context(counter)
            self.last = self._read()
            yield
            self._book()

    def rows(self) -> list[Row]:
        """A row for each module, called or not: even a VAE that only decodes has the parameters of its encoder."""
        return [self._row(name, module) for module, name in self.names.items()]

    def _row(self, name: str, module: nn.Module) -> Row:
        read, made, whole = self.inputs.get(name), self.outputs.get(name), self.inputs.get("") or ()
        axes = _axes(name, read, whole, output=False), _axes(name, made, whole, output=True)
        work = self.work[name] + Work(sum(parameter.numel() for parameter in module.parameters(recurse=False)))
        return Row(name, kind_of(name, module), type(module).__name__, read, made, axes, work)

    def _enter(self, module, args, kwargs) -> None:
        self._book()
        name = self.names[module]
        self.running.append(name)
        self.inputs.setdefault(name, _shape((args, kwargs)))

    def _leave(self, module, args, kwargs, output) -> None:
        self._book()
        self.outputs[self.running.pop()] = _shape(output)

    def _book(self) -> None:
        now = self._read()
        self.work[self.running[-1]] += Work(*map(sub, now, self.last))
        self.last = now

    def _read(self) -> Work:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = 0.0 if self.device.type == "meta" else perf_counter()
        return Work(0, self.flops.get_total_flops(), self.bytes.total, seconds)


class _Bytes(TorchDispatchMode):
    """Adds up the bytes of the inputs and outputs of operations; views move nothing."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view and func not in VIEWS:
            self.total += _nbytes((args, kwargs, out))
        return out


class _Fused(TorchFunctionMode):
    """Counts an attention as one operation, even if the device computes it in several.

    So too a group norm: before 2.15, torch first copies a video whose memory is not contiguous.
    """

    def __init__(self, meter: _Bytes):
        super().__init__()
        self.meter = meter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        before = self.meter.total
        out = func(*args, **(kwargs or {}))
        if func in (scaled_dot_product_attention, group_norm):
            self.meter.total = before + _nbytes((args, kwargs, out))
        return out


def _attention_flops(query, key, value, *_, **__) -> int:
    """Of shapes [b heads n d], [b heads m d], [b heads m e]: the scores, and the sums weighted by them."""
    b, heads, n, d = query
    return 2 * b * heads * n * key[2] * (d + value[3])


def _nbytes(tree) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor))


def _shape(tree) -> tuple[int, ...] | None:
    """The shape of the first tensor; an output object of ours keeps it as `sample`."""
    leaves = (getattr(leaf, "sample", leaf) for leaf in tree_leaves(tree))
    return next((tuple(leaf.shape) for leaf in leaves if isinstance(leaf, torch.Tensor)), None)


def kind_of(name: str, module: nn.Module) -> str:
    """The kind of layer that a module of this name belongs to: a key of KINDS, "norm", or "the rest"."""
    if isinstance(module, NORMS):
        return NORM
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), REST)


def _axes(name: str, shape: tuple[int, ...] | None, whole: tuple[int, ...], output: bool) -> str:
    """The names of a shape's axes. whole: the shape that went into the model, a video [b c f h w] or tokens [b t]."""
    if shape is None:
        return ""
    if len(whole) == 2:
        return {2: "b t", 3: "b t d"}.get(len(shape), "")
    lead = "(b f)" if len(whole) == 5 and shape[0] != whole[0] else "b"
    if len(shape) == 4 and "temp_convs" in name and (shape[0], shape[2]) == (whole[0], whole[2]):
        return "b c f (h w)"  # in the course's own UNet
    if len(shape) == 3 and re.search("transformer_in|temp_attentions", name):
        return "(b h w) f c"
    if len(shape) == 3 and re.search(r"attn2\.to_[kv]", name):
        return f"{lead} t c" if output else f"{lead} t d"
    return {1: lead, 2: f"{lead} c", 3: f"{lead} (h w) c", 4: f"{lead} c h w", 5: "b c f h w"}.get(len(shape), "")


def report(traces: Mapping[str, Trace]) -> str:
    """The traces of `trace_parts` as tables: the parts, and then the kinds of each."""
    parts = {name: trace.total.parameters for name, trace in traces.items()}
    lines = [f"{name:14}{count:>15,} parameters" for name, count in (parts | {"total": sum(parts.values())}).items()]
    for name, trace in traces.items():
        shape, axes = trace.rows[0].input, trace.rows[0].axes[0]  # a VAE that only decodes is not called itself
        lines += ["", f"{name}, {UNITS[name]}" + (f", of {list(shape)} = [{axes}]" if shape else ""), str(trace)]
    return "\n".join(lines)


def si(number: float) -> str:
    """A number in three digits with its SI prefix, ready for a unit: "12.2 T", "340 M", "24 "."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * factor:
            return f"{number / factor:#.3g}".rstrip(".") + f" {prefix}"
    return f"{number:.0f} "


def _cells(work: Work, whole: Work) -> list[str]:
    counts = zip(work[:3], whole[:3], strict=True)
    cells = [cell for one, all_ in counts for cell in (si(one), f"{one / max(all_, 1):.1%}")]
    return cells + ([f"{work.seconds / whole.seconds:.1%}"] if whole.seconds else [])
