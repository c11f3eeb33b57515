"""Traces: the totals of the real model, rows that add up, the same counts on every device, and no hook left behind."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from t2v_helpers.inside import tracing
from t2v_helpers.inside.tracing import Work, kind_of, si, trace, trace_parts
from t2v_helpers.model import loading

SHARES = {  # the real UNet: kind -> % of its parameters, and % of the FLOPs of 20 frames of 256x256
    "spatial conv": (40.0, 34.2), "temporal conv": (18.9, 13.8), "temporal feed-forward": (10.8, 14.7),
    "spatial feed-forward": (10.5, 12.6), "temporal attention": (7.2, 10.0), "cross-attention": (3.6, 3.7),
    "spatial self-attention": (3.5, 6.7), "time embedding": (2.0, 0.0), "temporal projection": (1.8, 2.3),
    "spatial projection": (1.8, 2.1), "norm": (0.0, 0.0), "the rest": (0.0, 0.0),
}  # fmt: skip
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs",
         "_forward_hooks_always_called")  # fmt: skip


@pytest.fixture(scope="module")
def real():
    """The traces of the 1.7 billion parameters: nothing is computed, so it takes seconds."""
    return trace_parts(loading.skeleton("modelscope"), frames=20)


@pytest.fixture
def toy(toy_pipe):
    """The toy UNet and what it reads: 2 videos of 3 frames."""
    torch.manual_seed(0)
    return toy_pipe.unet, (torch.randn(2, 8, 3, 8, 8), 500, torch.randn(2, 24, 32))


def hooks(model: nn.Module) -> list:
    """All hooks there are, those of the modules and those of all modules."""
    own = [hook for module in model.modules() for name in HOOKS for hook in getattr(module, name)]
    return own + [*nn.modules.module._global_forward_hooks, *nn.modules.module._global_forward_pre_hooks]


class Attention(nn.Module):
    def forward(self, x):
        return scaled_dot_product_attention(x, x, x)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.limp = nn.Linear(4, 4), True

    def forward(self, x):
        if self.limp:
            raise RuntimeError("limps")
        return self.layer(x)


# --- the real model


def test_the_parameters_of_the_real_model(real):
    counts = {name: trace.total.parameters for name, trace in real.items()}
    assert counts == {"unet": 1_411_233_860, "text_encoder": 340_387_840, "vae": 83_653_863}


def test_the_flops_of_the_real_model(real):
    tera = {name: trace.total.flops / 1e12 for name, trace in real.items()}
    assert tera == pytest.approx({"unet": 12.222, "text_encoder": 0.0451, "vae": 0.622}, rel=1e-3)


def test_where_the_real_unet_has_its_parameters_and_its_work(real):
    whole, kinds = real["unet"].total, real["unet"].by_kind()
    found = {k: (100 * w.parameters / whole.parameters, 100 * w.flops / whole.flops) for k, w in kinds.items()}
    assert set(found) == set(SHARES)
    for kind, shares in SHARES.items():
        assert found[kind] == pytest.approx(shares, abs=0.06), kind


def test_two_fifths_of_the_real_unet_are_temporal(real):
    temporal = [work for kind, work in real["unet"].by_kind().items() if kind.startswith("temporal")]
    total = sum(temporal, Work())
    assert total.parameters == pytest.approx(545.3e6, rel=1e-3)
    assert total.flops / real["unet"].total.flops == pytest.approx(0.407, abs=5e-4)


def test_the_decoder_of_the_real_vae(real):
    decoder = real["vae"].part("decoder").total.parameters + real["vae"].part("post_quant_conv").total.parameters
    assert decoder == 49_490_199


def test_each_layer_has_2_4_2_2_parts(real):
    rows = real["unet"].part("down_blocks.0").rows
    names = [row.name for row in rows if row.module in ("Conv2d", "Conv3d", "Attention")]
    parts = [sum(part in name for name in names) for part in (
        "resnets.0.conv", "temp_convs.0.conv", ".attentions.0.", "temp_attentions.0.")]  # fmt: skip
    assert parts == [2, 4, 2, 2]


def test_more_frames_cost_more_in_proportion():
    parts = loading.skeleton("cartoon")
    flops = {f: trace_parts(parts, f)["unet"].total.flops for f in (8, 16)}
    assert flops[16] / flops[8] == pytest.approx(2, rel=0.02)


# --- rows


def test_the_counts_are_those_of_a_sheet_of_paper():
    layer = nn.Linear(3, 5)
    row = trace(layer, torch.zeros(7, 3)).rows[0]
    assert (row.input, row.output) == ((7, 3), (7, 5))
    assert row.work.parameters == 20 and row.work.flops == 2 * 7 * 3 * 5
    assert row.work.bytes == 4 * (7 * 3 + 3 * 5 + 5 + 7 * 5) and row.work.seconds > 0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_attention_counts_the_same_on_every_device(device):
    row = trace(Attention(), torch.zeros(2, 3, 16, 8, device=device)).rows[0]
    assert row.work.flops == 2 * (2 * 3 * 16 * 16 * 8) * 2
    assert row.work.bytes == 4 * 4 * (2 * 3 * 16 * 8)  # three read, one written


@pytest.mark.parametrize("layout", [torch.zeros(2, 8, 4, 3), torch.zeros(2, 4, 8, 3).transpose(1, 2)])
def test_a_group_norm_counts_the_same_however_its_input_lies_in_memory(layout):
    row = trace(nn.GroupNorm(4, 8), layout).rows[0]  # from [b c h w]
    assert row.work.bytes == 4 * (2 * 2 * 8 * 4 * 3 + 8 + 8)  # read and written; weights


def test_a_model_counts_the_same_with_weights_and_without(toy_pipe, toy, toy_folder):
    unet, (sample, t, text) = toy
    bare = loading.skeleton(toy_folder)["unet"]
    here = trace(unet, sample, t, encoder_hidden_states=text)
    there = trace(bare, sample.to("meta"), t, encoder_hidden_states=text.to("meta"))
    assert [(r.name, r.input, r.output, r.work.flops) for r in here.rows] == [
        (r.name, r.input, r.output, r.work.flops) for r in there.rows
    ]
    assert there.total.bytes == pytest.approx(here.total.bytes, rel=0.05)  # the CPU's attention saves a copy
    assert there.total.seconds == 0 < here.total.seconds


def test_rows_add_up(toy):
    unet, inputs = toy
    found = trace(unet, *inputs)
    assert found.total.parameters == sum(p.numel() for p in unet.parameters())
    assert sum((row.work for row in found.rows), Work()).flops == found.total.flops
    assert sum(found.by_kind().values(), Work()).flops == found.total.flops
    halves = [found.part(name).total.flops for name, _ in unet.named_children()]
    assert sum(halves) + found[""].work.flops == found.total.flops


def test_tracing_changes_nothing(toy):
    unet, inputs = toy
    with torch.no_grad():
        before = unet(*inputs).sample
        within = []
        found = trace(unet, call=lambda: within.append(unet(*inputs).sample))
        assert torch.equal(before, within[0]) and torch.equal(before, unet(*inputs).sample)
    assert found[""].output == tuple(before.shape)


def test_a_module_that_is_called_twice_is_one_row(toy):
    layer = nn.Linear(3, 3)
    (row,) = trace(layer, torch.zeros(2, 3), call=lambda x: layer(layer(x))).rows
    assert row.work.flops == 2 * (2 * 2 * 3 * 3)


def test_a_module_that_is_not_called_still_has_its_parameters(toy_pipe):
    found = trace(toy_pipe.vae, torch.zeros(1, 8, 4, 4), call=toy_pipe.vae.decode)
    row = found["encoder.conv_in"]
    assert row.input is None and row.work.flops == 0 < row.work.parameters
    assert "not called" in str(row)
    assert found["decoder.conv_in"].input == (1, 8, 4, 4)


@pytest.mark.parametrize(
    ("name", "kind", "axes"),
    [
        ("", "the rest", ("b c f h w", "b c f h w")),
        ("conv_in", "spatial conv", ("(b f) c h w",) * 2),
        ("time_embedding.linear_1", "time embedding", ("b c", "b c")),
        ("transformer_in.proj_in", "temporal projection", ("(b h w) f c",) * 2),
        ("down_blocks.0.resnets.0.conv1", "spatial conv", ("(b f) c h w",) * 2),
        ("down_blocks.0.resnets.0.norm1", "norm", ("(b f) c h w",) * 2),
        ("down_blocks.0.resnets.0.time_emb_proj", "time embedding", ("(b f) c",) * 2),
        ("down_blocks.0.temp_convs.0.conv4.3", "temporal conv", ("b c f h w",) * 2),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1", "spatial self-attention", ("(b f) (h w) c",) * 2),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", "cross-attention", ("(b f) t d", "(b f) t c")),
        ("down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2", "spatial feed-forward", ("(b f) (h w) c",) * 2),
        ("down_blocks.0.attentions.0.proj_out", "spatial projection", ("(b f) (h w) c",) * 2),
        ("down_blocks.0.temp_attentions.0.transformer_blocks.0.attn2.to_k", "temporal attention",
         ("(b h w) f c",) * 2),
        ("down_blocks.0.temp_attentions.0.transformer_blocks.0.ff.net.2", "temporal feed-forward",
         ("(b h w) f c",) * 2),
    ],
)  # fmt: skip
def test_every_module_has_a_kind_and_its_axes_a_name(toy, name, kind, axes):
    unet, inputs = toy
    row = trace(unet, *inputs)[name]
    assert (row.kind, row.axes) == (kind, axes)


def test_nothing_of_weight_is_left_to_the_rest(real):
    left = [row for trace in real.values() for row in trace.rows if row.kind == tracing.REST]
    assert not any(row.work.parameters or row.work.flops for row in left)


def test_the_kinds_of_the_text_encoder_and_the_vae(real):
    assert list(real["text_encoder"].by_kind())[:3] == ["text feed-forward", "text attention", "text embedding"]
    assert list(real["vae"].by_kind())[:2] == ["spatial conv", "spatial self-attention"]
    assert real["text_encoder"]["encoder.layers.0.mlp.fc1"].axes == ("b t d", "b t d")
    assert real["text_encoder"][""].axes[0] == "b t"
    assert real["vae"]["decoder.mid_block.attentions.0.to_q"].axes == ("b (h w) c", "b (h w) c")


def test_a_norm_is_told_by_its_class():
    assert kind_of("down_blocks.0.temp_convs.0.conv1.0", nn.GroupNorm(1, 2)) == "norm"
    assert kind_of("down_blocks.0.temp_convs.0.conv1.0", nn.Linear(1, 2)) == "temporal conv"


# --- hooks


def test_no_hook_is_left_behind(toy):
    unet, _ = toy
    before = hooks(unet)
    within = []
    trace(unet, call=lambda: within.append(hooks(unet)))
    assert len(within[0]) > len(before) and hooks(unet) == before


def test_no_hook_is_left_behind_by_an_error(toy):
    unet, (sample, t, text) = toy
    before = hooks(unet)
    with pytest.raises(RuntimeError):
        trace(unet, sample, t, text[..., 1:])
    assert hooks(unet) == before
    assert trace(unet, sample, t, text).total.flops > 0


def test_an_error_that_is_caught_within_the_context_spoils_no_count():
    model = nn.Sequential(Broken())

    def twice(x):
        model[0].limp = True
        with pytest.raises(RuntimeError, match="limps"):
            model(x)
        model[0].limp = False
        model(x)

    rows = trace(model, torch.zeros(1, 4), call=twice).rows
    assert {row.name: row.work.flops for row in rows} == {"": 0, "0": 0, "0.layer": 32}


# --- tables


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 "),
        (24, "24 "),
        (999.4, "999 "),
        (999.9, "1.00 k"),
        (1000, "1.00 k"),
        (1234, "1.23 k"),
        (340_387_840, "340 M"),
        (12.222e12, "12.2 T"),
        (28.3e15, "28.3 P"),
    ],
)
def test_numbers_in_three_digits(number, text):
    assert si(number) == text


def test_the_table_has_a_line_for_each_kind_and_time_only_where_measured(toy, real):
    unet, inputs = toy
    assert str(trace(unet, *inputs)).splitlines()[0].endswith("time")
    lines = str(real["unet"]).splitlines()
    assert lines[0].split() == ["parameters", "FLOP", "bytes"]
    assert lines[1].startswith("spatial conv ") and "40.0%" in lines[1] and "4.18 T" in lines[1]
    assert lines[-1].startswith("total ") and len(lines) == len(SHARES) + 2


def test_the_report_names_each_part(real):
    text = tracing.report(real)
    assert "total           1,835,275,563 parameters" in text
    assert "unet, one guided step, of [2, 4, 20, 32, 32] = [b c f h w]" in text


def test_a_trace_as_json(real):
    found = real["unet"].to_dict()
    assert found["total"]["parameters"] == 1_411_233_860 and found["kinds"]["temporal conv"]["flops"] > 1e12


# --- bad input


def test_what_is_no_module_is_refused(toy_pipe):
    with pytest.raises(ValueError, match=r"model .*Pipeline.*pipe\.unet"):
        trace(toy_pipe, "a dog")
    with pytest.raises(ValueError, match="model is a str"):
        trace("unet", call=lambda: None)


def test_an_unknown_row_is_refused():
    found = trace(nn.Sequential(nn.Linear(1, 1)), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="'mid' .*trace"):
        found["mid"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"frames": 0}, "frames=0 is not allowed: use a whole number from 1 to 1000"),
        ({"height": 60}, "height=60 is not a multiple of 16 pixels: use 48 or 64"),
        ({"width": 0}, "width=0 is not allowed: use a whole number from 16 to 8192"),
    ],
)
def test_what_cannot_be_traced_is_refused(toy_folder, asked, words):
    with pytest.raises(ValueError, match=words):
        trace_parts(loading.skeleton(toy_folder), **asked)
