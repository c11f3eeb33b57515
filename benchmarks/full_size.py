"""Models at their full size, with random weights, on this device: what a step costs, and what makes it faster.

    python benchmarks/full_size.py dtypes     ModelScope's UNet and VAE in each dtype: a step, a video, memory
    python benchmarks/full_size.py options    every way to be faster, with its difference in the output
    python benchmarks/full_size.py wan        the transformer of Wan 2.1 with 1.3 billion parameters: a step, memory

Nobody trained these numbers, so no video is made; time and memory do not depend on them. `--size toy` tries the same
code at a size for any machine. Each row is printed when it is known and kept in --out; a table ends it. on_a_gpu.sh
calls it.

A step reaches a share of the rate of a large product of matrices (GEMM). Beside it stands the share that it would reach
if each of its layers were as fast as the roofline of notebook 10 allows, and beside the peak of memory the traced one.
"""

import argparse
import copy
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from t2v_helpers.core import files
from t2v_helpers.inside import activation_memory, feature_reuse, temporal, tracing, unet
from t2v_helpers.machine import probe
from t2v_helpers.machine.device import peak_memory
from t2v_helpers.model import loading
from t2v_helpers.studies import unet_speed

FRAMES, STEPS = 20, 50  # the blog's video; its steps came at 1.58 to 1.66 a second
BLOG = "1.58-1.66"
SIZES = {"full": "modelscope", "toy": "cartoon"}  # whose configuration
WAN = {  # Wan-AI/Wan2.1-T2V-1.3B-Diffusers, transformer/config.json
    "full": {"num_layers": 30, "num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "text_dim": 4096},
    "toy": {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 24, "ffn_dim": 96, "text_dim": 64},
}
WAN_LATENTS = {"full": (21, 60, 104), "toy": (3, 8, 8)}  # 81 frames of 480x832; the toy has 9 of 64x64
REUSE = 3  # all layers in every third call
Run = Callable[[], Tensor]
Inputs = tuple[Tensor | int, ...]  # noise, time, words


def filled(part: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A module of the meta device with random weights: small normal numbers, norms and biases as they begin."""
    part = nn.Module.to(part, dtype).to_empty(device=device).eval().requires_grad_(False)  # diffusers' own to() warns
    for name, weight in part.named_parameters():
        if weight.dim() > 1:
            weight.normal_(std=0.02)
        else:
            weight.fill_(float(name.endswith("weight")))
    return part


def seconds_of(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """The median of each, which take turns."""
    return {name: statistics.median(taken) for name, taken in unet_speed.in_turns(runs, repeats).items()}


def flop_of(run: Run) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def gemm_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """FLOP a second of a large product of matrices: the roof for everything else."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / seconds_of({"gemm": lambda: a @ b}, 10)["gemm"]


def bandwidth(device: torch.device, side: int) -> float:
    """Bytes a second of a copy of a large tensor: the roof for layers that move more than they compute."""
    a, b = (torch.empty(side, side, device=device) for _ in range(2))
    return 2 * a.nbytes / seconds_of({"copy": lambda: b.copy_(a)}, 10)["copy"]


def foretold(bare: nn.Module, inputs: Inputs, rate: float, moved: float) -> dict[str, float]:
    """What a trace says of a step, without computing it: its peak of memory, and its share of `rate` at the roofline.

    bare: the module on the meta device. rate: FLOP a second; moved: bytes a second. Each layer takes at least the
    time of its FLOP and at least that of its bytes.
    """
    given = [x.to("meta") if isinstance(x, Tensor) else x for x in inputs]
    held = sum(x.nbytes for x in [*bare.parameters(), *given] if isinstance(x, Tensor))
    layers = [row.work for row in tracing.trace(bare, *given).rows]
    least = sum(max(work.flops / rate, work.bytes / moved) for work in layers)
    share = sum(work.flops for work in layers) / rate / least
    return {"traced GiB": (held + activation_memory.peak(bare, *given)) / 2**30, "share at the roofline": share}


def rate_row(net: nn.Module, bare: nn.Module, inputs: Inputs, asked: argparse.Namespace) -> dict:
    """Milliseconds of a step, steps a second, memory, and the share of what a product of matrices reaches."""
    with peak_memory(asked.device) as peak:
        net(*inputs)
    seconds = seconds_of({"step": lambda: net(*inputs)}, asked.repeats)["step"]
    rate, moved = gemm_rate(asked.device, inputs[0].dtype, asked.gemm), bandwidth(asked.device, asked.gemm)
    reached, said = flop_of(lambda: net(*inputs)) / seconds, foretold(bare, inputs, rate, moved)
    found = {"ms a step": 1e3 * seconds, "steps a second": 1 / seconds, "peak GiB": peak.mib / 1024}
    found |= {"traced GiB": said["traced GiB"], "TFLOP/s": reached / 1e12, "GEMM TFLOP/s": rate / 1e12}
    return found | {"share of GEMM": reached / rate, "share at the roofline": said["share at the roofline"]}


def bare_part(size: str, name: str, dtype: torch.dtype) -> nn.Module:
    """A part of the model of that size, on the meta device."""
    return nn.Module.to(loading.skeleton(SIZES[size])[name], dtype)  # diffusers' own to() warns


def dtypes(asked: argparse.Namespace) -> Iterator[dict]:
    """A row for each dtype: a guided step, and the blog's video, whose steps and decoding are added up."""
    for name in asked.dtypes:
        dtype = getattr(torch, name)
        net = filled(bare_part(asked.size, "unet", dtype), asked.device, dtype)
        x_t, text = unet_speed.step_inputs(net, asked.frames)
        found = rate_row(net, bare_part(asked.size, "unet", dtype), (x_t, 500, text), asked)
        vae = filled(bare_part(asked.size, "vae", dtype), asked.device, dtype)
        decode = asked.frames * seconds_of({"decode": lambda vae=vae, x=x_t[:1, :, 0]: vae.decode(x)}, 3)["decode"]
        video = STEPS * found["ms a step"] / 1e3 + decode
        beside = {"the blog's steps a second": BLOG} if asked.size == "full" else {}
        yield {"dtype": name} | found | {f"s a video of {asked.frames} frames": video} | beside
        del net, vae


def options(asked: argparse.Namespace) -> Iterator[dict]:
    """A row for each way to be faster: its time beside that of the step as it is, and how far its output is from it."""
    dtype = getattr(torch, asked.dtypes[0])
    net = filled(bare_part(asked.size, "unet", dtype), asked.device, dtype)
    x_t, text = unet_speed.step_inputs(net, asked.frames)
    wanted = net(x_t, 500, text).sample.float()
    for name, make in WAYS.items():
        try:
            run = make(net, x_t, text)
            off = (run().float() - wanted).abs().max() / wanted.abs().max()
            taken = seconds_of({"plain": lambda: net(x_t, 500, text).sample, "way": run}, asked.repeats)
        except RuntimeError as error:  # torch's own word for: not on this device, not with this build
            yield {"way": name, "not here": str(error).splitlines()[0][:120]}
            continue
        yield {"way": name, "ms": 1e3 * taken["way"], "times faster": taken["plain"] / taken["way"], "off": float(off)}


def _as_it_is(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    return lambda: net(x_t, 500, text).sample


def _two_passes(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    return lambda: torch.cat([net(x, 500, words).sample for x, words in zip(x_t.split(1), text.split(1), strict=True)])


def _channels_last(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    other = copy.deepcopy(net)
    for weight in other.parameters():
        if weight.dim() in (4, 5):
            weight.data = weight.contiguous(
                memory_format=(torch.channels_last, torch.channels_last_3d)[weight.dim() - 4]
            )
    return lambda: other(x_t, 500, text).sample


def _conv2d(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    def run() -> Tensor:
        with temporal.conv2d_on_a_view(net):
            return net(x_t, 500, text).sample

    return run


def _ours(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    return _as_it_is(unet.from_diffusers(net), x_t, text)


def _text_kept(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    ours = unet.from_diffusers(net)
    feature_reuse.text_kept(ours, text).__enter__()  # for as long as this UNet lives
    return _as_it_is(ours, x_t, text)


def _compiled(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    if x_t.device.type == "cpu":
        raise RuntimeError("on a processor it compiles for minutes; notebook 10 has its row for one")
    return _as_it_is(torch.compile(unet.from_diffusers(net)), x_t, text)


def _graph(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    if x_t.device.type != "cuda":
        raise RuntimeError("CUDA graphs need a GPU")
    ours, t = unet.from_diffusers(net), torch.tensor(500, device=x_t.device)
    for _ in range(3):
        ours(x_t, t, text)  # what is chosen once must not be captured
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = ours(x_t, t, text).sample

    def run() -> Tensor:
        graph.replay()
        return found

    return run


def _reuse(net: nn.Module, x_t: Tensor, text: Tensor) -> Run:
    """The call between two full ones: the deep features are those of an earlier timestep."""
    ours = unet.from_diffusers(net)
    _, deep = feature_reuse.all_layers(ours, x_t, 540, text)
    return lambda: feature_reuse.last_layer(ours, x_t, torch.tensor(500, device=x_t.device), text, deep)


WAYS = {
    "as it is, guidance in one batch": _as_it_is,
    "guidance in two passes": _two_passes,
    "channels_last": _channels_last,
    "Conv3d as Conv2d": _conv2d,
    "the course's UNet": _ours,
    "the course's UNet, text kept": _text_kept,
    "the course's UNet, a CUDA graph": _graph,
    "a call that reuses deep features": _reuse,
    "the course's UNet, torch.compile": _compiled,  # the last, for it takes longest
}


def wan(asked: argparse.Namespace) -> Iterator[dict]:
    """One row: a guided step of Wan's transformer, for a video of its own size."""
    dtype, config = getattr(torch, asked.dtypes[0]), WAN[asked.size]

    def made(device: torch.device | str) -> nn.Module:
        with torch.device(device):
            return nn.Module.to(WanTransformer3DModel(**config), dtype).eval().requires_grad_(False)

    with torch.device(asked.device):
        x_t = torch.randn(2, 16, *WAN_LATENTS[asked.size]).to(dtype)  # [b c f h w]
        text, t = torch.randn(2, 512, config["text_dim"]).to(dtype), torch.tensor([500, 500])
    model, bare = made(asked.device), made("meta")
    size = {"million parameters": sum(p.numel() for p in bare.parameters()) / 1e6}
    yield size | {"latents": "x".join(map(str, WAN_LATENTS[asked.size]))} | rate_row(model, bare, (x_t, t, text), asked)


def table(rows: list[dict]) -> str:
    """Markdown; a number with three digits."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    cells = [[_cell(row.get(head, "")) for head in heads] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *cells])


def _cell(x: float | str) -> str:
    return f"{x:.3g}" if isinstance(x, float) else str(x)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Models at their full size, with random weights, on this device.")
    p.add_argument("what", choices=STAGES)
    p.add_argument("--size", choices=SIZES, default="full")
    p.add_argument("--device", type=torch.device, default=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    p.add_argument("--dtypes", nargs="+", choices=("bfloat16", "float16", "float32"), default=["bfloat16"])
    p.add_argument("--frames", type=int, default=FRAMES)
    p.add_argument("--repeats", type=int, default=10)
    p.add_argument("--gemm", type=int, default=8192, help="side of the matrices (%(default)s)")
    p.add_argument("--out", type=Path, help="a .json for the rows")
    return p


STAGES = {"dtypes": dtypes, "options": options, "wan": wan}


@torch.inference_mode()
def main(words: list[str] | None = None) -> None:
    """Run one stage: print and keep each row as soon as it is known, and all of them as a table at the end."""
    asked, rows = parser().parse_args(words), []
    on = torch.cuda.get_device_name(asked.device) if asked.device.type == "cuda" else probe.cpu_name()
    about = {"device": on, "torch": torch.__version__, "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"}
    about["command"] = " ".join(["full_size.py", *(words or sys.argv[1:])])
    for row in STAGES[asked.what](asked):
        rows.append(row)
        print("; ".join(f"{head}: {_cell(x)}" for head, x in row.items()), flush=True)
        if asked.out:
            files.write_text(asked.out, json.dumps(about | {"rows": rows}, indent=2) + "\n")
    print(f"\n{asked.what}, {asked.size} size, {on}, torch {torch.__version__}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main()
