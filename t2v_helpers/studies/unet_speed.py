"""The course's UNet and diffusers' in one run: the time of a guided step, and where it goes.

    unet_speed.measure_unet(pipe.unet)                    # name -> Measure; bars.json says what each is
    unet_speed.measure_conv(pipe.unet)                    # diffusers' UNet alone, its temporal convolutions both ways
    python -m t2v_helpers.studies.unet_speed modelscope   # the same for any model, on this machine's GPU

The two take turns, so that other load on the machine affects both. Temporal convolutions run on the inputs that they
have in a step; the text is projected to keys and values for each frame, as in diffusers, and once per video. "Text
kept" does that once, before the first step.
"""

import sys
from collections.abc import Callable, Sequence
from math import isqrt

import torch
from torch import Tensor, nn
from torch.utils.benchmark import timer

from t2v_helpers.core import arguments
from t2v_helpers.core.model_names import CHOICES
from t2v_helpers.inside import feature_reuse, looking, temporal, unet
from t2v_helpers.metrics.estimates import Measure, of_ratios, of_times
from t2v_helpers.model import loading


@torch.inference_mode()
def measure_unet(theirs: nn.Module, repeats: int = 20, frames: int = 16) -> dict[str, Measure]:
    """Times of a UNet3DConditionModel and of the course's UNet with the same weights, for a guided step.

    diffusers reads the noise as a batch of two; ours reads it once, beside both texts: see unet.UNet3D.forward.
    Medians, with the fastest and the slowest; the ratio is the geometric mean over the rounds, with its interval.
    """
    ours, keeps = unet.from_diffusers(theirs), unet.from_diffusers(theirs)
    x_t, text = step_inputs(theirs, frames)
    runs = {
        "diffusers": lambda: theirs(x_t, 500, text),
        "ours": lambda: ours(x_t[:1], 500, text),
        "kept": lambda: keeps(x_t[:1], 500, text),
        **conv_runs(ours, x_t, text),
        **text_runs(ours, text, frames),
    }
    with feature_reuse.text_kept(keeps, text):
        return {f"unet/{name}": found for name, found in _times(runs, repeats, "ours", "diffusers").items()}


@torch.inference_mode()
def measure_conv(theirs: nn.Module, repeats: int = 10, frames: int = 16) -> tuple[dict[str, Measure], float]:
    """A guided step of a UNet3DConditionModel, unchanged ("Conv3d") and with temporal.conv2d_on_a_view ("Conv2d").

    "ratio" is the time of the second over that of the first. The float is the largest difference between their results,
    relative to the largest value: they differ only by rounding.
    """
    x_t, text = step_inputs(theirs, frames)

    def on_a_view() -> Tensor:
        with temporal.conv2d_on_a_view(theirs):
            return theirs(x_t, 500, text).sample

    runs = {"Conv3d": lambda: theirs(x_t, 500, text).sample, "Conv2d": on_a_view}
    wanted, found = (run().float() for run in runs.values())
    off = (found - wanted).abs().max() / wanted.abs().max()
    return _times(runs, repeats, "Conv2d", "Conv3d"), float(off)


def _times(runs: dict[str, Callable], repeats: int, one: str, other: str) -> dict[str, Measure]:
    """The seconds of each run, and the "ratio" of two of them."""
    seconds = in_turns(runs, repeats)
    ratios = [a / b for a, b in zip(seconds[one], seconds[other], strict=True)]
    return {name: of_times(taken) for name, taken in seconds.items()} | {"ratio": of_ratios(ratios)}


def step_inputs(theirs: nn.Module, frames: int) -> tuple[Tensor, Tensor]:
    """Noise [2 c f h w], twice the same, and text [2 t d] for a guided step of the model's own size."""
    size, channels = theirs.config.sample_size, theirs.config.in_channels
    x_t = torch.randn(1, channels, frames, size, size).to(theirs.device, theirs.dtype)  # [1 c f h w]
    return torch.cat([x_t, x_t]), torch.randn(2, 24, theirs.config.cross_attention_dim).to(x_t)  # [b t d]


def in_turns(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, `repeats` times in turns, after a warm-up turn."""
    seconds = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            start = timer()  # it waits for the GPU, which works asynchronously
            run()
            seconds[name] += [timer() - start] if turn else []
    return seconds


def conv_runs(net: unet.UNet3D, x_t: Tensor, text: Tensor) -> dict[str, Callable[[], list]]:
    """Every temporal convolution of a step on its own input, as Conv3d and as Conv2d on a view."""
    convs = {name: part for name, part in net.named_modules() if isinstance(part, unet.FrameConv)}
    with looking.watched(net, list(convs)) as seen:
        net(x_t, 500, text)
    flat = [(convs[name], x) for name, (x, _) in seen.items()]  # [b c f n] each, in the order of a step
    square = [(conv, x.unflatten(3, (isqrt(x.shape[3]), -1))) for conv, x in flat]  # [b c f h w]
    return {
        "Conv3d": lambda: [nn.Conv3d.forward(conv, x) for conv, x in square],
        "Conv2d": lambda: [conv(x) for conv, x in flat],
    }


def text_runs(net: unet.UNet3D, text: Tensor, frames: int) -> dict[str, Callable[[], list]]:
    """The keys and values of every cross-attention of a step: of the text for each frame, and once per video."""
    readers = [part for part in net.modules() if isinstance(part, unet.Attention) and part.text]
    repeated = text.repeat_interleave(frames, dim=0)  # [(b f) t d]
    return {
        "text for each frame": lambda: [part.keys_and_values(repeated) for part in readers],
        "text for each video": lambda: [part.keys_and_values(text) for part in readers],
    }


def main(words: Sequence[str] | None = None) -> int:
    """The command: `measure_conv` of a model. Exit status 0, or 2 with one sentence."""
    p = arguments.Parser(
        prog="python -m t2v_helpers.studies.unet_speed", description="Conv3d along time against Conv2d on a view."
    )
    p.add_argument("model", help=CHOICES)
    arguments.add(p, "device", "dtype")
    p.add_argument("--frames", type=arguments.whole(200), default=16, help="(%(default)s)")
    p.add_argument("--repeats", type=arguments.whole(1000), default=10, help="(%(default)s)")
    options = p.parse_args(words)
    try:
        pipe = loading.load(options.model, options.device, options.dtype)
    except (ValueError, OSError, MemoryError) as error:
        print(f"{p.prog}: {error}", file=sys.stderr)
        return 2
    found, off = measure_conv(pipe.unet, options.repeats, options.frames)
    for name in ("Conv3d", "Conv2d"):
        print(f"{name}  {1000 * found[name].value:.4g} ms a guided step of {options.frames} frames")
    ratio = found["ratio"]
    print(f"ratio   {ratio.value:.3f} of the time ({ratio.low:.3f} to {ratio.high:.3f}), n = {ratio.n}")
    print(f"the results differ by {off:.1e} of the largest value")
    return 0


if __name__ == "__main__":
    sys.exit(main())
