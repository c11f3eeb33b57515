"""Boxes and arrows: what goes where, from a sentence to a video.

    flow.stages(tokens=[2, 24], embeddings=[2, 24, 128], latents=[1, 8, 16, 8, 8], video=[16, 64, 64, 3], steps=25)
    flow.training_and_sampling()

Each returns a figure, which display.show_figure shows. Networks are filled boxes.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

FILL, EDGE, LINE = "#C6DFF2", "#0072B2", "#777777"
TEXT, LABEL = 11.5, 10  # points


def stages(
    tokens: Sequence[int], embeddings: Sequence[int], latents: Sequence[int], video: Sequence[int], steps: int
) -> Figure:
    """The stages of notebook 02, numbered as its sections, each with the shape that it gives."""
    boxes = {
        "sentence\nwords": (1, 2.2),
        f"tokens\n{list(tokens)}": (3.3, 2.2),
        f"embeddings\n{list(embeddings)}": (6, 2.2),
        f"noise\n{list(latents)}": (3.3, 0.7),
        "UNet": (6, 0.7),
        f"clean latents\n{list(latents)}": (8.8, 0.7),
        f"video\n{list(video)}": (12, 0.7),
    }
    words, ids, vectors, noise, unet, clean, pixels = boxes
    arrows = [(words, ids, "1"), (ids, vectors, "2"), (vectors, unet, "in each step"), (noise, unet, "3, 4"),
              (unet, clean, f"5 to 7: {steps} steps"), (clean, pixels, "8: VAE")]  # fmt: skip
    return flow(boxes, arrows, (13.2, 2.9), [unet])


def training_and_sampling() -> Figure:
    """How the UNet is trained, and below it, how it is used: the same network gets the same question."""
    up, down = 2.9, 0.8
    boxes = {
        "clean latents $x_0$": (1.2, up + 0.45),
        r"noise $\epsilon$": (1.2, up - 0.45),
        "noisy latents $x_t$": (3.9, up),
        "UNet, sentence, $t$": (6.6, up),
        r"guess $\epsilon_\theta$": (8.9, up),
        r"loss $(\epsilon - \epsilon_\theta)^2$": (11.5, up),
        "noise $x_T$": (1.2, down),
        "$x_t$": (3.9, down),
        "UNet, sentence, $t$ ": (6.6, down),
        r"guess $\epsilon_\theta$ ": (8.9, down),
        "clean latents": (11.5, down),
    }
    clean, noise, noisy, trained, guess, loss, start, x_t, used, again, end = boxes
    arrows = [
        (clean, noisy, ""), (noise, noisy, ""), (noisy, trained, ""), (trained, guess, ""), (guess, loss, ""),
        (noise, loss, "the answer that is wanted", 0.08), (loss, trained, r"change the weights $\theta$", 0.2),
        (start, x_t, "begin"), (x_t, used, ""), (used, again, ""), (again, x_t, "a step: a little less noise", -0.2),
        (again, end, "after the last step"),
    ]  # fmt: skip
    figure = flow(boxes, arrows, (12.8, 3.9), [trained, used])
    for y, title in ((0.93, "Training"), (0.33, "Sampling")):
        figure.text(0.01, y, title, weight="bold", size=TEXT + 1.5)
    return figure


def flow(
    boxes: Mapping[str, tuple[float, float]],
    arrows: Iterable[tuple],
    size: tuple[float, float],
    networks: Collection[str] = (),
) -> Figure:
    """Boxes, and arrows between them.

    boxes: text -> its centre, in inches from the lower left. arrows: (from, to, label), or (from, to, label, bend),
    where bend is a share of the arrow's length. size: width and height in inches. networks: the texts whose boxes are
    filled. KeyError: an arrow from or to a box that is not there.
    """
    figure = plt.figure(figsize=size)
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(0, size[1]))
    ax.set_axis_off()
    plt.close(figure)  # or a notebook would show it twice
    patches = {text: _box(ax, *at, text, FILL if text in networks else "white") for text, at in boxes.items()}
    for start, end, label, *bend in arrows:
        _arrow(ax, boxes[start], boxes[end], (patches[start], patches[end]), label, *bend)
    return figure


def _box(ax: Axes, x: float, y: float, text: str, fill: str) -> Patch:
    style = {"boxstyle": "round,pad=0.4", "edgecolor": EDGE, "facecolor": fill}
    return ax.text(x, y, text, size=TEXT, ha="center", va="center", bbox=style).get_bbox_patch()


def _arrow(ax: Axes, start, end, patches: tuple[Patch, Patch], label: str, bend: float = 0) -> None:
    """An arrow from the edge of one box to that of another, and a label beside its middle, outside of the bend."""
    style = {"arrowstyle": "-|>", "color": LINE, "connectionstyle": f"arc3,rad={bend}", "shrinkA": 2, "shrinkB": 2}
    ax.annotate("", end, start, arrowprops=style | dict(zip(("patchA", "patchB"), patches, strict=True)))
    (x0, y0), (x1, y1) = start, end
    x, y = (x0 + x1 + bend * (y1 - y0)) / 2, (y0 + y1 - bend * (x1 - x0)) / 2
    if x0 == x1:
        ax.text(x + 0.12, y, label, size=LABEL, va="center")
    else:
        ax.text(x, y + math.copysign(0.19, bend * (x0 - x1) or 1), label, size=LABEL, ha="center", va="center")
