"""Diagrams say what the trace says, are legible, and can be told apart by colour-blind readers."""

import itertools
import re

import numpy as np
import pytest
import torch
from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.text import Text

from t2v_helpers.inside import tracing, unet
from t2v_helpers.model import loading
from t2v_helpers.show import diagrams

DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
TRITANOPIA = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]


@pytest.fixture(scope="module")
def big():
    return tracing.trace_parts(loading.skeleton("modelscope"), frames=20)


@pytest.fixture(scope="module")
def small():
    return tracing.trace_parts(loading.skeleton("cartoon"))


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts(figure))


def illegible(figure: Figure) -> list[str]:
    """Texts that leave the page, are too small, or lie on one another."""
    figure.draw_without_rendering()
    boxes = {text: text.get_window_extent() for text in texts(figure)}
    page = figure.bbox
    out = [t.get_text() for t, b in boxes.items() if b.x0 < 0 or b.y0 < 0 or b.x1 > page.x1 or b.y1 > page.y1]
    tiny = [text.get_text() for text in boxes if text.get_size() < 10]
    pairs = itertools.combinations(boxes.items(), 2)
    return out + tiny + [f"{a.get_text()} / {b.get_text()}" for (a, p), (b, q) in pairs if p.overlaps(q)]


def seen(colour: str, matrix: list) -> np.ndarray:
    """A colour as somebody sees it (Machado, Oliveira & Fernandes 2009, severity 1; on linear RGB), in CIE Lab."""
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# --- legible


def test_no_text_lies_on_another_or_leaves_the_page(big, small):
    for parts in (big, small):
        for figure in (diagrams.pipeline(parts), diagrams.unet(parts["unet"]), diagrams.block(parts["unet"])):
            assert illegible(figure) == []
    assert illegible(diagrams.bars({"1.7B": big["unet"], "cartoon": small["unet"]})) == []
    assert illegible(diagrams.folding()) == []


def test_an_illegible_figure_is_found(small):
    figure = diagrams.unet(small["unet"])
    figure.axes[0].text(7, 3, "over", size=13)
    figure.axes[0].text(7.1, 3, "one another", size=6)
    assert illegible(figure) == ["one another", "over / one another"]


@pytest.mark.parametrize("matrix", [np.eye(3), DEUTERANOPIA, PROTANOPIA, TRITANOPIA])
def test_colour_blind_readers_tell_the_layers_apart(matrix):
    lab = [seen(diagrams.COLOURS[kind], matrix) for kind in diagrams.CHIPS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)) > 15


# --- what they say


def test_every_kind_has_a_colour(big):
    kinds = {kind for kind in big["unet"].by_kind()}
    assert kinds <= set(diagrams.COLOURS) and len(set(diagrams.COLOURS.values())) == len(diagrams.COLOURS)


def test_the_unet_says_the_shapes_and_layers_of_the_trace(big):
    said = words(diagrams.unet(big["unet"]))
    blocks = [row.name for row in big["unet"].rows if re.fullmatch(r"(down|up)_blocks\.\d|mid_block", row.name)]
    assert len(blocks) == 9 and all(name in said for name in blocks)
    assert "c = 320,  32 × 32" in said and said.count("c = 1280,  4 × 4") == 3
    assert said.count("3 skips") == 4 and said.count("↓ 2") == said.count("↑ 2") == 3
    assert "4 × 20 × 32 × 32" in said


def test_a_layer_says_2_4_2_2(big):
    said = words(diagrams.block(big["unet"]))
    assert re.findall(r"(\d) × (?:conv|att)", said) == ["2", "4", "2", "2"]
    shares = [int(share) for share in re.findall(r"(\d+)% of FLOPs", said)]
    assert len(shares) == 4 and sum(shares) == pytest.approx(100, abs=2)
    assert [line for line in said.splitlines() if line.startswith("[")] == [
        "[(b f) c h w]", "[b c f h w]", "[(b f) (h w) c]", "[(b h w) f c]"]  # fmt: skip


def test_the_kernels_that_a_layer_names_are_those_of_the_modules():
    modules = dict(loading.skeleton("modelscope")["unet"].named_modules())
    layer = "down_blocks.0.{}.0.conv1{}"
    for kind, name in (
        ("spatial conv", layer.format("resnets", "")),
        ("temporal conv", layer.format("temp_convs", ".2")),
    ):
        assert " × ".join(map(str, modules[name].kernel_size)) == diagrams.KERNELS[kind]


def test_the_courses_own_unet_can_be_drawn(small):
    own = unet.from_diffusers(loading.skeleton("cartoon")["unet"])
    sample, text = (
        small["unet"][name].input for name in ("", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k")
    )
    trace = tracing.trace(own, torch.zeros(sample, device="meta"), 500, torch.zeros(2, *text[1:], device="meta"))
    assert trace.total.parameters == small["unet"].total.parameters
    assert illegible(diagrams.unet(trace)) == illegible(diagrams.block(trace)) == []
    assert "[b c f (h w)]" in words(diagrams.block(trace))


def test_the_pipeline_says_parts_and_what_a_clip_takes(big):
    said = words(diagrams.pipeline(big, steps=50))
    assert all(text in said for text in ("340 M parameters", "1.41 G parameters", "83.7 M parameters", "50 steps"))
    assert "one clip: 624 TFLOP" in said and "gives 77 × 1024 [t d]" in said and "20 frames of\n256 × 256" in said


def test_the_bars_are_as_long_as_the_shares(big, small):
    figure = diagrams.bars({"1.7B": big["unet"], "cartoon": small["unet"]})
    lengths = [patch.get_width() for patch in figure.axes[1].patches]
    kinds = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    work = big["unet"].by_kind()
    assert lengths[: len(kinds)] == pytest.approx([100 * work[k].flops / big["unet"].total.flops for k in kinds])
    parameters = sum(p.numel() for p in loading.load("cartoon", quiet=True).unet.parameters())
    assert f"cartoon: {parameters / 1e6:.3g} M parameters" in words(figure)


def test_what_is_reached_is_drawn_frame_by_frame():
    at = torch.zeros(3, 2, 4, dtype=torch.bool)  # [f h w]
    at[1, 0, 2] = at[2, 1, 3] = True
    figure = diagrams.reach({"all": torch.ones_like(at), "two": at})
    assert "two; positions changed: 2, in frames: 2" in words(figure) and "positions changed: 24" in words(figure)
    drawn = figure.axes[1].images[0].get_array()  # [h (f w+1)], the 1 a line between frames
    assert drawn.shape == (2, 15) and np.argwhere(drawn == 1).tolist() == [[0, 7], [1, 13]]


# --- folding


def test_a_fold_keeps_a_frames_channels_together_and_a_pixels_frames():
    colours = [patch.get_facecolor() for patch in diagrams.folding().axes[0].patches]
    images = colours[8 * 12 : 16 * 12]  # the second panel, 12 squares an image: 6 behind, 6 in front
    assert all(len(set(images[12 * n : 12 * n + 12])) == 1 for n in range(8)) and len(set(images)) == 8
    pixels = colours[16 * 12 :]  # the third panel, 8 squares a sequence: 4 frames behind, and 4 in front
    assert all(len(set(pixels[8 * n : 8 * n + 8])) == 4 for n in range(12))


# --- files and bad input


def test_a_saved_diagram_is_the_same_each_time(small, tmp_path):
    one, two = (diagrams.save(diagrams.unet(small["unet"]), tmp_path / name) for name in ("1.png", "2.png"))
    assert one.read_bytes() == two.read_bytes()


def test_what_is_no_unet_cannot_be_drawn_as_one(small):
    with pytest.raises(ValueError, match="trace .*down_blocks"):
        diagrams.unet(small["text_encoder"])


@pytest.mark.parametrize(("name", "layer"), [("down_blocks.0", 1), ("mid_block", 1), ("down_blocks.0", -1)])
def test_a_layer_without_all_parts(small, name, layer):
    with pytest.raises(ValueError, match=f"'{name}' has no layer {layer} with all of resnets, .*: take another block"):
        diagrams.block(small["unet"], name, layer)


def test_a_block_that_is_not_there(small):
    with pytest.raises(ValueError, match=r"'down_blocks\.7' .*trace"):
        diagrams.block(small["unet"], "down_blocks.7")


def test_a_pipeline_without_all_parts(small):
    with pytest.raises(ValueError, match="traces .*vae.*trace_parts"):
        diagrams.pipeline({name: small[name] for name in ("unet", "text_encoder")})
    with pytest.raises(ValueError, match="steps=0 "):
        diagrams.pipeline(small, steps=0)


@pytest.mark.parametrize("count", [0, 4])
def test_bars_of_too_many_models(small, count):
    with pytest.raises(ValueError, match=f"traces has {count} models: give one to three"):
        diagrams.bars({str(n): small["unet"] for n in range(count)})
