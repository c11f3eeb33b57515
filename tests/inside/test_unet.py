"""The course's UNet against diffusers' own: the shipped weights, toys of every kind of block, ModelScope's blocks."""

import ast
import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import UNet3DConditionModel
from diffusers.models.embeddings import Timesteps
from torch import nn

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import feature_reuse, unet, unet_config
from t2v_helpers.model import hub, loading
from t2v_helpers.model.generate import generate

FOLDER = loading.CARTOON / "unet"
MODELSCOPE = json.loads((hub.MODELSCOPE_SHAPES / "unet.json").read_text())
NARROW = MODELSCOPE | {"block_out_channels": [width // 5 for width in MODELSCOPE["block_out_channels"]]}
BLOCKS = {  # of ModelScope, a fifth as wide -> the channels that it reads
    "transformer_in": 64, "down_blocks.0": 64, "down_blocks.1": 64, "down_blocks.2": 128, "down_blocks.3": 256,
    "mid_block": 256, "up_blocks.0": 256, "up_blocks.1": 256, "up_blocks.2": 256, "up_blocks.3": 128,
}  # fmt: skip
TOY = {
    "sample_size": 8, "in_channels": 3, "out_channels": 5, "block_out_channels": [16, 32], "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"], "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"],
    "norm_num_groups": 4, "norm_eps": 1e-5, "cross_attention_dim": 12, "attention_head_dim": 4, "act_fn": "silu",
}  # fmt: skip
TOYS = {
    "as it is": {},
    "three layers": {"layers_per_block": 3},
    "one level": {"block_out_channels": [16], "down_block_types": ["DownBlock3D"], "up_block_types": ["UpBlock3D"]},
    "heads that leave channels over": {"attention_head_dim": 5},
    "attention below alone": {"down_block_types": ["DownBlock3D", "CrossAttnDownBlock3D"],
                              "up_block_types": ["UpBlock3D", "UpBlock3D"]},
    "narrower below": {"block_out_channels": [32, 16], "norm_eps": 1e-3},
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> UNet3DConditionModel:
    return UNet3DConditionModel.from_pretrained(FOLDER).float().eval()


@pytest.fixture(scope="module")
def ours() -> unet.UNet3D:
    return unet.from_diffusers(UNet3DConditionModel.from_pretrained(FOLDER).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 4, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_gives_what_torchs_gives(shape, dtype, bias):
    layer = unet.Linear(6, 7, bias, dtype=dtype)
    x = torch.randn(shape, dtype=dtype).transpose(0, -1).contiguous().transpose(0, -1)  # in another order in memory
    learning = layer(x)
    assert learning.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(layer(x), learning)
        torch.testing.assert_close(learning, nn.functional.linear(x, layer.weight, layer.bias))


@torch.no_grad()
def shake(module: nn.Module) -> nn.Module:
    """Random weights everywhere, also in norms and in what starts at zero, of a size that keeps outputs near one."""
    generator = torch.Generator().manual_seed(0)
    for name, p in module.named_parameters():
        p.uniform_(-1, 1, generator=generator).mul_(0.7 * p[0].numel() ** -0.5 if p.dim() > 1 else 0.2)
        if p.dim() == 1 and name.endswith("weight"):
            p.add_(1)  # of a norm
    return module


def toy(**change) -> UNet3DConditionModel:
    return shake(UNet3DConditionModel(**TOY | change)).eval()


def inputs(config, batch=2, frames=3, height=8, width=8, tokens=7) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents [b c f h w] and text [b t d]."""
    generator = torch.Generator().manual_seed(1)
    x_t = torch.randn(batch, config.in_channels, frames, height, width, generator=generator)
    return x_t, torch.randn(batch, tokens, config.cross_attention_dim, generator=generator)


def assert_equal(a: torch.Tensor, b: torch.Tensor) -> None:
    """To 1e-5 of one, or of the value where it is larger; and neither is nothing."""
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert b.std() > 1e-2


# --- the whole against the whole


@pytest.mark.parametrize(
    "batch, frames, height, width",
    [(1, 16, 8, 8), (2, 16, 8, 8), (1, 1, 8, 8), (3, 5, 16, 8), (1, 24, 4, 12), (2, 3, 7, 9), (1, 2, 1, 1)],
)
@torch.no_grad()
def test_the_cartoons_weights_give_the_same_noise(ours, theirs, batch, frames, height, width):
    x_t, text = inputs(ours.config, batch, frames, height, width, tokens=24)
    assert_equal(ours(x_t, 500, text).sample, theirs(x_t, 500, text).sample)


@pytest.mark.parametrize("videos, k", [(1, 2), (2, 2), (2, 3)])
@torch.no_grad()
def test_latents_under_several_texts_are_given_once(ours, theirs, videos, k):
    x_t, _ = inputs(ours.config, videos)
    _, text = inputs(ours.config, k * videos)
    t = torch.arange(1, videos + 1) * 300
    found = ours(x_t, t, text).sample
    assert_equal(found, theirs(torch.cat([x_t] * k), t.repeat(k), text).sample)


@torch.no_grad()
def test_what_needs_no_text_is_computed_once(ours):
    x_t, text = inputs(ours.config, 1)[0], inputs(ours.config, 2)[1]
    seen = []
    hook = ours.transformer_in.register_forward_hook(lambda part, given, made: seen.append(len(made)))
    ours(x_t, 500, text)
    hook.remove()
    assert seen == [x_t.shape[2]]


@pytest.mark.parametrize("t", [0, 999, 500.5, torch.tensor(3), torch.tensor([7]), torch.tensor([1, 900])], ids=str)
@torch.no_grad()
def test_a_timestep_may_be_a_number_or_one_for_each_video(ours, theirs, t):
    x_t, text = inputs(ours.config)
    assert_equal(ours(x_t, t, encoder_hidden_states=text).sample, theirs(x_t, t, encoder_hidden_states=text).sample)


@pytest.mark.parametrize("change", TOYS.values(), ids=TOYS)
@torch.no_grad()
def test_every_kind_of_block_gives_the_same_noise(change):
    reference = toy(**change)
    x_t, text = inputs(reference.config, height=9, width=6)
    assert_equal(unet.from_diffusers(reference)(x_t, 321, text).sample, reference(x_t, 321, text).sample)


def test_gradients_are_the_same():
    reference = toy()
    own = unet.from_diffusers(reference)
    x_t, text = inputs(reference.config)
    for net in (own, reference):
        net(x_t, 5, text).sample.square().mean().backward()
    wanted = dict(reference.named_parameters())
    for name, parameter in own.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, rtol=1e-3, atol=1e-5)


# --- ModelScope, block by block


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """A block of ModelScope, a fifth as wide, ours and diffusers', on the same random weights."""
    with torch.device("meta"):
        own, reference = unet.UNet3D(NARROW), UNet3DConditionModel.from_config(NARROW)
    own, reference = own.eval().get_submodule(name), reference.eval().get_submodule(name)
    shake(reference.to_empty(device="cpu"))
    own.load_state_dict(reference.state_dict(), assign=True)
    return own, reference


def test_modelscope_has_the_same_parameters_under_the_same_names():
    with torch.device("meta"):
        own, reference = unet.UNet3D(MODELSCOPE), UNet3DConditionModel.from_config(MODELSCOPE)
    shapes = {name: p.shape for name, p in own.named_parameters()}
    assert shapes == {name: p.shape for name, p in reference.named_parameters()}
    assert sum(shape.numel() for shape in shapes.values()) == 1_411_233_860


def noise(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def skips_for(block: unet.UpBlock, x: torch.Tensor) -> list[torch.Tensor]:
    """The pile that an up block takes from: for each of its layers, what the layer reads besides x."""
    out = block.resnets[0].conv1.out_channels
    own = [x.shape[1], out, out]
    widths = [layer.conv1.in_channels - width for layer, width in zip(block.resnets, own, strict=True)]
    return [noise(len(x), width, 4, 4, seed=width) for width in reversed(widths)]


def run_ours(block: nn.Module, x: torch.Tensor, time: torch.Tensor, text: torch.Tensor) -> list[torch.Tensor]:
    if isinstance(block, unet.TemporalTransformer):
        return [block(x, len(time))]
    if isinstance(block, unet.MidBlock):
        return [block(x, time, text)]
    below = [torch.empty(1, 1, 8, 8)]  # the skip whose size an up block grows to
    skips = below + skips_for(block, x) if isinstance(block, unet.UpBlock) else []
    return [block(x, time, text, skips), *(skips if isinstance(block, unet.DownBlock) else [])]


def run_theirs(block: nn.Module, own: nn.Module, x: torch.Tensor, time: torch.Tensor, text: torch.Tensor) -> list:
    frames = len(x) // len(time)
    if isinstance(own, unet.TemporalTransformer):
        return [block(x, num_frames=frames).sample]
    words = {"temb": time.repeat_interleave(frames, 0), "num_frames": frames}
    if getattr(block, "has_cross_attention", False):
        words["encoder_hidden_states"] = text.repeat_interleave(frames, 0)
    if isinstance(own, unet.UpBlock):
        words["res_hidden_states_tuple"] = tuple(skips_for(own, x))
    made = block(x, **words)
    return [made[0], *made[1]] if isinstance(own, unet.DownBlock) else [made]


@pytest.mark.parametrize("name, channels", BLOCKS.items())
@torch.no_grad()
def test_modelscopes_blocks_are_the_same(name, channels):
    own, reference = pair(name)
    given = noise(4, channels, 4, 4), noise(2, 256), noise(2, 5, 1024)  # two videos of two frames
    found, wanted = run_ours(own, *given), run_theirs(reference, own, *given)
    for a, b in zip(found, wanted, strict=True):
        assert_equal(a, b)


@pytest.mark.skipif("T2V_WHOLE" not in os.environ, reason="7 GB of memory and a minute: T2V_WHOLE=1 pytest -k whole")
@torch.no_grad()
def test_modelscope_as_a_whole_gives_the_same_noise(capsys):
    with torch.device("meta"):
        reference = UNet3DConditionModel.from_config(MODELSCOPE)
    shake(reference.to_empty(device="cpu")).eval()
    own = unet.from_diffusers(reference)
    x_t, text = inputs(own.config, batch=2, frames=3, height=16, width=8, tokens=77)
    found, wanted = own(x_t, 500, text).sample, reference(x_t, 500, text).sample
    with capsys.disabled():
        print(f"\nmax |difference| {(found - wanted).abs().max():.1e}, where the noise has std {wanted.std():.2f}")
    assert_equal(found, wanted)


# --- part against part


def test_sinusoidal_is_what_diffusers_calls_timesteps():
    t = torch.tensor([0, 1, 500, 999])
    torch.testing.assert_close(unet.sinusoidal(t, 64), Timesteps(64, True, 0)(t), rtol=0, atol=1e-6)


PARTS = {  # a part's name -> how ours is called on x [(b f) c h w], e [b e] and text [b t d], and how theirs
    "resnets.0": (lambda part, x, e, text: part(x, e), lambda part, x, e, text: part(x, e.repeat_interleave(3, 0))),
    "temp_convs.0": (lambda part, x, e, text: part(x, 2), lambda part, x, e, text: part(x, num_frames=3)),
    "attentions.0": (
        lambda part, x, e, text: part(x, text),
        lambda part, x, e, text: part(x, encoder_hidden_states=text.repeat_interleave(3, 0)).sample,
    ),
    "temp_attentions.0": (lambda part, x, e, text: part(x, 2), lambda part, x, e, text: part(x, num_frames=3).sample),
}


@pytest.mark.parametrize("name", PARTS)
@torch.no_grad()
def test_each_part_of_a_layer_is_the_same(ours, theirs, name):
    given = noise(6, 64, 8, 6), noise(2, 256), noise(2, 24, 128)  # two videos of three frames
    found = PARTS[name][0](ours.down_blocks[0].get_submodule(name), *given)
    assert_equal(found, PARTS[name][1](theirs.down_blocks[0].get_submodule(name), *given))


@torch.no_grad()
def test_a_convolution_along_time_is_a_conv2d_on_a_view():
    conv, x = unet.FrameConv(6), torch.randn(2, 6, 5, 3, 4)
    torch.testing.assert_close(conv(x.flatten(3)).unflatten(3, (3, 4)), nn.Conv3d.forward(conv, x))


def test_a_layer_has_2_4_2_2_parts(ours):
    block = ours.down_blocks[0]
    counted = [
        sum(type(part) is nn.Conv2d and part.kernel_size == (3, 3) for part in block.resnets[0].modules()),
        sum(isinstance(part, unet.FrameConv) for part in block.temp_convs[0].modules()),
        sum(isinstance(part, unet.Attention) for part in block.attentions[0].modules()),
        sum(isinstance(part, unet.Attention) for part in block.temp_attentions[0].modules()),
    ]
    assert counted == [2, 4, 2, 2]


@torch.no_grad()
def test_new_temporal_convolutions_pass_on_what_they_get():
    x = torch.randn(6, 8, 4, 4)
    torch.testing.assert_close(unet.TemporalConv(8, 4)(x, 2), x)


# --- in the place of pipe.unet


def test_the_cartoons_pipeline_makes_the_same_video_with_it():
    pipe, spec = (
        loading.load("cartoon", device="cpu", quiet=True),
        GenerationSpec("a cat is jumping", steps=4, frames=5),
    )
    theirs = generate(pipe, spec).frames
    pipe.unet = unet.from_diffusers(pipe.unet)
    assert abs(generate(pipe, spec).frames.astype(int) - theirs).max() <= 1
    assert loading.is_cartoon(pipe) and loading.latent_channels(pipe) == 16


def test_diffusers_own_loop_takes_it(toy_folder):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    own = unet.from_diffusers(pipe.unet)
    videos = []
    for net in (pipe.unet, own):
        pipe.unet = net
        made = pipe("a dog", num_inference_steps=2, num_frames=3, generator=torch.Generator().manual_seed(0))
        videos.append(torch.as_tensor(made.frames))
    torch.testing.assert_close(*videos, rtol=0, atol=1 / 255)


def test_it_moves_with_the_pipeline(toy_folder):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    pipe.unet = unet.from_diffusers(pipe.unet)
    pipe.to(torch.bfloat16)
    assert pipe.unet.dtype == torch.bfloat16 and pipe.unet.device == pipe.device == torch.device("cpu")
    x_t, text = (x.bfloat16() for x in inputs(pipe.unet.config))
    with torch.no_grad():
        assert pipe.unet(x_t, 1, text, return_dict=False)[0].dtype == torch.bfloat16


def test_in_training_it_drops_out_where_diffusers_does(ours, theirs):
    def dropouts(net):
        return {name: part.p for name, part in net.named_modules() if isinstance(part, nn.Dropout) and part.p}

    assert dropouts(ours) == dropouts(theirs) != {}


def test_a_module_is_not_held_twice(theirs):
    own = unet.from_diffusers(theirs)
    assert not own.training and own.conv_in.weight.data_ptr() == theirs.conv_in.weight.data_ptr()


# --- the text, kept


@pytest.fixture
def count(ours):
    """How often the keys of a text were computed."""
    calls = []
    hooks = [
        part.to_k.register_forward_hook(lambda *_: calls.append(1))
        for part in ours.modules()
        if isinstance(part, unet.Attention) and part.text
    ]
    yield lambda: len(calls) // len(hooks)
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def test_a_kept_text_is_computed_once_and_gives_the_same(ours, count):
    x_t, text = inputs(ours.config)
    wanted = ours(x_t, 500, text).sample
    with feature_reuse.text_kept(ours, text):
        assert torch.equal(ours(x_t, 500, text).sample, wanted)
        ours(x_t, 400, text.clone())
        assert count() == 2  # before the context, and as it began
    ours(x_t, 500, text)
    assert count() == 3


@pytest.mark.parametrize("change", [lambda text: text + 1, lambda text: text.add_(1), lambda text: text[:, :3]])
@torch.no_grad()
def test_another_text_is_never_answered_with_the_kept_one(ours, change):
    x_t, text = inputs(ours.config)
    with feature_reuse.text_kept(ours, text):
        other = change(text)
        found = ours(x_t, 500, other).sample
    assert torch.equal(found, ours(x_t, 500, other).sample)


@torch.no_grad()
def test_a_block_alone_is_never_answered_with_the_kept_text(ours):
    x, time, text, other = noise(2, 128, 4, 4), noise(1, 256), noise(1, 4, 128), noise(1, 4, 128, seed=3)
    with feature_reuse.text_kept(ours, text):
        found = ours.mid_block(x, time, other)
    assert torch.equal(found, ours.mid_block(x, time, other))


@torch.no_grad()
def test_nothing_is_kept_after_an_error_and_the_outer_text_comes_back(ours, count):
    x_t, text = inputs(ours.config)
    with feature_reuse.text_kept(ours, text):
        with pytest.raises(RuntimeError, match="on purpose"), feature_reuse.text_kept(ours, text + 1):
            raise RuntimeError("on purpose")
        ours(x_t, 500, text)
        assert count() == 2  # one for each context, none for the call
    assert ours.kept_text is None and all(not part.kept for part in ours.modules() if isinstance(part, unet.Attention))


# --- bad input

BAD_CONFIGS = [
    ({"down_block_types": ["DownBlockSpatioTemporal", "DownBlock3D"]},
     r"down_block_types=\['DownBlockSpatioTemporal', .*a list .* each 'DownBlock3D' or 'CrossAttnDownBlock3D'"),
    ({"up_block_types": ["UpBlock3D", "UpBlock2D"]}, "a list .* each 'UpBlock3D' or 'CrossAttnUpBlock3D'"),
    ({"up_block_types": []}, r"up_block_types=\[\], but it must be a list"),
    ({"up_block_types": ["UpBlock3D"]}, "up_block_types has 1 entries, but block_out_channels has 2"),
    ({"block_out_channels": [16, 33]}, "but it must be a list of 1 to 8, each an even whole number"),
    ({"block_out_channels": [16, 30]}, "30 in block_out_channels, but it must be a multiple of norm_num_groups=4"),
    ({"attention_head_dim": 20}, "16 in block_out_channels, but .* no less than attention_head_dim=20"),
    ({"attention_head_dim": [4, 8]}, r"attention_head_dim=\[4, 8\], but it must be a whole number from 1"),
    ({"layers_per_block": 0}, "layers_per_block=0, but it must be a whole number from 1"),
    ({"norm_num_groups": None}, "norm_num_groups=None, but it must be a whole number from 1"),
    ({"norm_eps": "small"}, "norm_eps='small', but it must be a number from 1e-12"),
    ({"act_fn": "gelu"}, "act_fn='gelu', but it must be 'silu'"),
    ({"time_cond_proj_dim": 32}, "time_cond_proj_dim=32, but it must be None"),
    ({"num_attention_heads": 8}, "num_attention_heads=8, but it must be None"),
    ({"downsample_padding": 0}, "downsample_padding=0, but it must be 1"),
    ({"mid_block_scale_factor": 1.4}, "mid_block_scale_factor=1.4, but it must be 1"),
    ({"motion_max_seq_length": 32}, "motion_max_seq_length=32, but it must be left out: known are sample_size, "),
]  # fmt: skip


@pytest.mark.parametrize("change, words", BAD_CONFIGS, ids=[str(change) for change, _ in BAD_CONFIGS])
def test_a_configuration_that_cannot_be_expressed(change, words):
    with pytest.raises(ValueError, match=words):
        unet.UNet3D(TOY | change)


@pytest.mark.parametrize("key", TOY)
def test_a_configuration_that_lacks_a_key(key):
    with pytest.raises(ValueError, match=f"the configuration lacks {key}, which must be "):
        unet.UNet3D({name: value for name, value in TOY.items() if name != key})


def test_what_has_no_configuration():
    with pytest.raises(ValueError, match="configuration .*NoneType"):
        unet.from_diffusers(nn.Linear(1, 1))


@pytest.fixture
def nothing_loaded(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(unet.UNet3D, "load_state_dict", refuse)


BAD_WEIGHTS = [
    (lambda w: w.pop("conv_in.weight"),
     r"conv_in.weight is missing in the weights, but the configuration needs shape \[16, 3, 3, 3\]"),
    (lambda w: w.update({"conv_in.bias": torch.zeros(7)}),
     r"conv_in.bias has shape \[7\] in the weights, but the configuration needs shape \[16\]"),
    (lambda w: w.update({"class_embedding.weight": torch.zeros(2, 3)}),
     r"class_embedding.weight of shape \[2, 3\] is in the weights, but the configuration has no place for it"),
]  # fmt: skip


@pytest.mark.parametrize("change, words", BAD_WEIGHTS)
def test_weights_that_do_not_fit_are_not_loaded_in_part(monkeypatch, nothing_loaded, change, words):
    reference = toy()
    weights = dict(reference.state_dict())
    change(weights)
    monkeypatch.setattr(reference, "state_dict", lambda: weights)
    with pytest.raises(ValueError, match=words):
        unet.from_diffusers(reference)


def test_latents_text_and_arguments_that_do_not_fit(ours):
    x_t, text = inputs(ours.config)
    with pytest.raises(ValueError, match=r"sample .*\[2, 3, 8, 8\].*\[b 16 f h w\]"):
        ours(x_t[:, 0], 1, text)
    with pytest.raises(ValueError, match=r"sample .*\[2, 4, 3, 8, 8\].*\[b 16 f h w\]"):
        ours(x_t[:, :4], 1, text)
    with pytest.raises(ValueError, match=r"encoder_hidden_states .*\[1, 7, 128\].*\[2 t 128\]"):
        ours(x_t, 1, text[:1])
    with pytest.raises(ValueError, match="timestep_cond .*UNet3D"):
        ours(x_t, 1, text, cross_attention_kwargs=None, timestep_cond=text)


# --- what the file promises


def test_the_file_is_short_and_knows_no_diffusers():
    source = Path(unet.__file__).read_text()
    tree = ast.parse(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    words = {number for node in texts for number in range(node.lineno, node.end_lineno + 1)}
    lines = [line for number, line in enumerate(source.splitlines(), 1) if line.strip() and number not in words]
    assert len(lines) <= 300
    for module in (unet, unet_config):
        assert "import diffusers" not in (text := Path(module.__file__).read_text()) and "from diffusers" not in text
