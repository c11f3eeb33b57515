"""Every way to make the same video faster: seconds, memory, and what it changes.

    t2v study speedups                                                              # benchmarks/acceleration.jsonl
    t2v study speedups --model modelscope --device cuda --table outputs/gpu.jsonl   # on a GPU

The first TIMED seeds are timed, all options in turns, so that other load on the machine affects all of them; still, let
it do nothing else. The seeds after them are only judged: they are made with the options that change the video, and not
timed. Each option changes one thing about the model as loaded, which is PLAIN in the table; those that reuse features
are built on the course's UNet, which has a row of its own. Each is also run alone in a new Python, for its first video
and its memory: see `alone`.

Cost: 13 minutes of both cores, of which TIMED seeds take 5, the others 5, and `alone` 3. Notebook 10 calls a gain shown
if the interval of the paired ratio lies above 1: 6 seeds are the fewest with a 95 % interval of the median, which then
ends at the least and the largest ratio. It takes the fastest set that McNemar's test does not show to be worse: 6 lost
of 20, which a true loss of 40 % reaches in 87 % of tables, and one of 25 % in 38 %. The notebook calls that a bet.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import tables
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import guidance
from t2v_helpers.inside import feature_reuse, temporal, tracing, unet
from t2v_helpers.inside.feature_reuse import Shortcuts
from t2v_helpers.machine import doctor
from t2v_helpers.machine.device import peak_memory
from t2v_helpers.machine.probe import in_threads
from t2v_helpers.metrics import power
from t2v_helpers.metrics.estimates import Measure, of_median, of_share, of_times, of_values
from t2v_helpers.model import denoising, generate, loading, validation
from t2v_helpers.studies.study import Study, cells, in_new_python

PLAIN = "as it is"
SEEDS, TIMED = 20, 6
STEPS, FEW = 25, 2
BATCH = 4
ENDS = ("conv_in", "transformer_in", "time_embedding", "conv_norm_out", "conv_out")  # of the UNet, outside its levels
SENTENCES = 20_510  # the seed of the prompts, used nowhere else
Way = Callable[[object, GenerationSpec], object]  # way(pipe, spec): a context in which it is in force


@dataclass(frozen=True)
class Option:
    """One way: its name, the context in which a video of `steps` is made, and how many are made at once.

    exact: only rounding may differ. shortcuts: what it leaves out of a step; None: it is no such way.
    """

    what: str
    way: Way = lambda pipe, spec: nullcontext()
    exact: bool = False
    steps: int = STEPS
    batch: int = 1
    shortcuts: Shortcuts | None = None

    @property
    def family(self) -> str:
        """What it does less of: "deep features", "guidance", "both" or "steps"; its name where it is of no family."""
        ways = self.shortcuts or Shortcuts()
        names = {(True, True): "both", (True, False): "deep features", (False, True): "guidance"}
        return names.get((ways.reuse > 1, ways.guided_above > 0), self.what if self.steps == STEPS else "steps")

    @property
    def numbers(self) -> str:
        """Its numbers alone, for a figure: "5, 500" of interval and timestep, "10" of steps; "" where it has none."""
        ways = self.shortcuts or Shortcuts()
        asked = {ways.reuse: 1, ways.guided_above: 0, self.steps: STEPS}
        return ", ".join(str(value) for value, usual in asked.items() if value != usual)


@contextmanager
def _other_slicing(pipe, spec) -> Iterator[None]:
    """The VAE frame by frame or all frames at once: the opposite of how the model is loaded."""
    sliced = pipe.vae.use_slicing
    pipe.vae.use_slicing = not sliced
    try:
        yield
    finally:
        pipe.vae.use_slicing = sliced


@contextmanager
def _kept_text(pipe, spec) -> Iterator[None]:
    text = denoising.encode_prompt(pipe, spec)
    with pipe.using(unet=_ours(pipe.unet)), feature_reuse.text_kept(pipe.unet, text):
        yield


_ours, _compiled = cache(unet.from_diffusers), cache(torch.compile)


@cache
def _in_bfloat16(pipe) -> dict[str, torch.nn.Module]:
    parts = {name: copy.deepcopy(getattr(pipe, name)) for name in ("text_encoder", "unet", "vae")}
    return {name: torch.nn.Module.to(part, torch.bfloat16) for name, part in parts.items()}  # without a warning


def _shortcut(reuse: int = 1, guided_above: int = 0) -> Option:
    ways = Shortcuts(reuse, guided_above)
    return Option(str(ways), lambda pipe, _: pipe.using(unet=_ours(pipe.unet), predictor=ways), shortcuts=ways)


OPTIONS = {
    option.what: option
    for option in (
        Option(PLAIN, exact=True),
        Option("bfloat16", lambda pipe, _: pipe.using(**_in_bfloat16(pipe))),
        Option(f"{BATCH} videos in a batch", exact=True, batch=BATCH),
        Option("guidance in two passes", lambda pipe, _: pipe.using(predictor=guidance.in_two_passes), exact=True),
        Option("VAE slicing switched", _other_slicing, exact=True),
        Option("Conv3d as Conv2d", lambda pipe, _: temporal.conv2d_on_a_view(pipe.unet), exact=True),
        Option("torch.compile", lambda pipe, _: pipe.using(unet=_compiled(pipe.unet)), exact=True),
        Option("the course's UNet", lambda pipe, _: pipe.using(unet=_ours(pipe.unet)), True, shortcuts=Shortcuts()),
        Option("text kept", _kept_text, exact=True),
        *(_shortcut(reuse) for reuse in (2, 3, 5)),
        *(_shortcut(guided_above=t) for t in (500, 700)),
        *(Option(f"{steps} steps", steps=steps) for steps in (15, 10, 6)),
        *(_shortcut(*both) for both in ((3, 500), (5, 500))),
    )
}


def item_of(seed: int) -> cartoon.Item:
    """The item of the cartoon world whose caption is the prompt of a seed."""
    return cartoon.item(SENTENCES, seed, split="all")


def spec_of(seed: int, steps: int = STEPS) -> GenerationSpec:
    """The spec of a seed: 16 frames of the model's own size."""
    return GenerationSpec(item_of(seed).caption, seed=seed, steps=steps)


def made(pipe, option: Option, spec: GenerationSpec) -> tuple[np.ndarray, float]:
    """The video uint8 [f h w c], and the seconds it took; in a batch of other seeds, its share of them."""
    spec = replace(spec, steps=option.steps)
    with option.way(pipe, spec):
        if option.batch == 1:
            found = generate.generate(pipe, spec)
            return found.frames, found.record.seconds
        seeds = [spec, *(replace(spec, seed=spec.seed + 1000 * k) for k in range(1, option.batch))]
        began = time.perf_counter()
        videos = together(pipe, seeds)
        return videos[0], (time.perf_counter() - began) / option.batch


def together(pipe, specs: list[GenerationSpec]) -> np.ndarray:
    """The videos uint8 [b f h w c] of specs that share all but words and seeds, in one call of the UNet a step.

    generate.generate_batch calls it for one video at a time, so that a video does not depend on its neighbours.
    """
    *_, last = denoising.steps(pipe, validation.check_all(pipe, specs, len(specs)), together=True)
    return denoising.decode_latents(pipe, last.latents)


def alone(model: str, device: str, name: str) -> dict:
    """An option in a new Python: {"first": seconds of the first video, "peak_mib": peak memory of a short one in MiB}.

    ChildProcessError: it cannot be run here.
    """
    code = "import sys; from t2v_helpers.studies import speedups; print(speedups.alone_here(*sys.argv[1:]))"
    return json.loads(in_new_python(code, model, device, name).splitlines()[-1])


def alone_here(model: str, device: str, name: str) -> str:
    """What `alone` returns, measured in this Python, as JSON. Errors: those of loading.load."""
    pipe, option, spec = loading.load(model, device, quiet=True), OPTIONS[name], spec_of(0)
    _, first = made(pipe, option, spec)
    with peak_memory(pipe.device) as peak:
        made(pipe, replace(option, steps=FEW), spec)  # memory does not grow with steps
    return json.dumps({"first": round(first, 3), "peak_mib": round(peak.mib, 1)})


def line(pipe, seed: int) -> dict:
    """Each option for one seed: {"seed", "prompt", "found": {option: `cell`}}; for seed 0 with `alone`."""
    spec, found, wanted = spec_of(seed), {}, None
    warm_up(pipe)
    for name, option in OPTIONS.items():
        if seed < TIMED or not option.exact or name == PLAIN:
            frames, seconds = made(pipe, option, spec)
            wanted = frames if wanted is None else wanted  # PLAIN is the first
            found[name] = cell(pipe, seed, wanted, frames)
            found[name] |= {"seconds": round(seconds, 4)} if seed < TIMED else {}
            found[name] |= {} if seed else alone(pipe.name_or_path, str(pipe.execution_device), name)
    return {"seed": seed, "prompt": spec.prompt, "found": found}


@cache
def warm_up(pipe) -> None:
    """Run a few steps with every option, since later runs take less time."""
    for option in OPTIONS.values():
        made(pipe, replace(option, steps=FEW), spec_of(0))


def cell(pipe, seed: int, wanted: np.ndarray, frames: np.ndarray) -> dict:
    """A video uint8 [f h w c] compared with PLAIN's, `wanted`, and with its prompt.

    largest: the largest difference, of 255; psnr: in dB, None if they are equal; as_asked: whether the judge reads all
    four labels as asked, None for a model that is not of the cartoon world.
    """
    largest = int(np.abs(wanted.astype(int) - frames).max())
    return {
        "largest": largest,
        "psnr": round(metrics.psnr(wanted, frames), 2) if largest else None,
        "as_asked": metrics.read(frames[None])[0] == item_of(seed).labels if loading.is_cartoon(pipe) else None,
    }


def _machine(pipe) -> str:
    seen = doctor.look()
    return f"{seen.cpu}, {in_threads(seen.threads)}, torch {torch.__version__}, on {seen.device_name or pipe.device}"


def seconds(lines: list[dict], name: str) -> Measure:
    """Seconds a video: the median of the TIMED seeds, with the fastest and the slowest."""
    return of_times([found["seconds"] for found in cells(lines, "found", name) if "seconds" in found])


def times_faster(lines: list[dict], name: str) -> Measure:
    """PLAIN's seconds over the option's, for the same seeds: the median, with 95 %."""
    both = [(row["found"][PLAIN], row["found"][name]) for row in lines if "seconds" in row["found"].get(name, {})]
    return of_median([plain["seconds"] / option["seconds"] for plain, option in both])


def adherence(lines: list[dict], name: str) -> Measure | None:
    """The share of seeds whose four labels are all read as asked, with Wilson's interval (None: not judged)."""
    found = [one["as_asked"] for one in cells(lines, "found", name)]
    return None if None in found else of_share(metrics.Share.of(found))


def pairs(lines: list[dict], name: str) -> power.Pairs:
    """PLAIN's videos as asked, and the option's, for the seeds that have both. ValueError: not judged."""
    both = [row["found"] for row in lines if name in row["found"]]
    plain, option = ([found[way]["as_asked"] for found in both] for way in (PLAIN, name))
    if None in plain:
        raise ValueError("the table is not of the cartoon world, so no option can be chosen: look at the videos.")
    return power.Pairs.of(plain, option)


def worse(lines: list[dict], name: str) -> bool:
    """Whether McNemar's exact test shows, at 5 %, that fewer seeds are as asked than as PLAIN."""
    found = pairs(lines, name)
    return found.lost > found.won and found.differ


def psnr(lines: list[dict], name: str) -> Measure | None:
    """PSNR against PLAIN's video in dB, the mean over the seeds with its interval; None if all videos are equal."""
    found = [one["psnr"] for one in cells(lines, "found", name) if one["psnr"] is not None]
    return of_values(found) if found else None


def fastest(lines: list[dict]) -> str:
    """The fastest option with shortcuts that is not `worse` than PLAIN. ValueError: not judged."""
    good = [name for name, option in OPTIONS.items() if option.shortcuts and not worse(lines, name)]
    return min(good, key=lambda name: seconds(lines, name).value)


def text(lines: list[dict], names: Sequence[str] | None = None) -> str:
    """The table in Markdown, of all options or of these. ValueError: an option that the table lacks."""
    head = "option, s a video, times faster, first video, peak memory, largest difference, PSNR, as asked, in pairs"
    chosen = lines[0]["found"] if names is None else names
    return tables.markdown(head.split(", "), (_row(lines, name) for name in chosen))


def _row(lines: list[dict], name: str) -> list[str]:
    ratio, share, noise = times_faster(lines, name), adherence(lines, name), psnr(lines, name)
    first, *_ = found = cells(lines, "found", name)
    return [
        name,
        f"{seconds(lines, name).value:.2f}",
        f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})",
        f"{first['first']:.1f} s",
        f"{first['peak_mib']:.0f} MiB",
        f"{max(one['largest'] for one in found)}",
        f"{noise.value:.1f} dB" if noise else "equal",
        f"{share.value:.0%} ({share.low:.0%}-{share.high:.0%})" if share else "-",
        pairs(lines, name).summary if share else "-",
    ]


def last_layer_share(parts: Mapping, frames: int, count: str = "flops") -> float:
    """The share of a guided step that is left where the last layer alone is computed, in "flops" or "bytes".

    parts: a pipeline's, or those of loading.skeleton: shapes alone are read. What stands before and after the levels is
    computed in every step.
    """
    blocks, work = parts["unet"].up_blocks, tracing.trace_parts(parts, frames)["unet"]
    kinds = ("resnets", "temp_convs", "attentions", "temp_attentions")
    last = (f"up_blocks.{len(blocks) - 1}.{kind}.{len(blocks[-1].resnets) - 1}." for kind in kinds)
    left = (*ENDS, *last)
    alone = sum(getattr(row.work, count) for row in work.rows if row.name.startswith(left))
    return alone / getattr(work.total, count)


STUDY = Study(
    name="speedups",
    asks="How much faster is each way to make the same video, and what does it change?",
    file="acceleration.jsonl",
    seeds=SEEDS,
    minutes=13,
    head=lambda pipe: {"model": pipe.model_name, "machine": _machine(pipe)},
    row=line,
    summary=text,
    judged=False,
)
