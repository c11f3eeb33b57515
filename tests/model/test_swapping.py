"""Swapped parts: the new one is used, the old one is restored, and what cannot fit is refused."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DModel, UNet3DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from t2v_helpers import metrics
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import denoising, generate, swapping
from t2v_helpers.model.swapping import Adapted, check_parts, hidden, read_part, swapped_part, text_width

SPEC = GenerationSpec("a dog", steps=2, frames=2, height=32, width=32)
TINY = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}


def tiny(channels: int = 8) -> AutoencoderTiny:
    return AutoencoderTiny(**TINY, latent_channels=channels)


def reader(pipe, **changed) -> CLIPTextModel:
    """A text encoder like the toy's, but for what is changed: a hidden_size of 48, where the toy has 32."""
    return CLIPTextModel(CLIPTextConfig.from_dict(pipe.text_encoder.config.to_dict() | changed))


def wide(pipe) -> CLIPTextModel:
    return reader(pipe, hidden_size=48)


def flat_unet() -> UNet2DModel:
    return UNet2DModel(block_out_channels=(32,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))


def narrow_unet(pipe) -> UNet3DConditionModel:
    return UNet3DConditionModel.from_config(pipe.unet.config, in_channels=4, out_channels=4)


def test_the_part_is_used_and_the_very_same_one_comes_back(toy_pipe):
    before, config, new = toy_pipe.vae, dict(toy_pipe.config), tiny()
    with swapped_part(toy_pipe, vae=new) as pipe:
        assert pipe is toy_pipe and pipe.vae is new
        inside = generate.generate(pipe, SPEC).frames
    assert toy_pipe.vae is before and dict(toy_pipe.config) == config
    assert (inside != generate.generate(toy_pipe, SPEC).frames).any()


def test_the_same_weights_change_nothing(toy_pipe):
    twins = {name: copy.deepcopy(getattr(toy_pipe, name)) for name in ("vae", "unet", "text_encoder")}
    before = generate.generate(toy_pipe, SPEC).frames
    with swapped_part(toy_pipe, **twins):
        assert (generate.generate(toy_pipe, SPEC).frames == before).all()


def test_it_comes_back_after_an_error(toy_pipe):
    before = toy_pipe.vae
    with pytest.raises(KeyError, match="inside"), swapped_part(toy_pipe, vae=tiny()):
        raise KeyError("inside")
    assert toy_pipe.vae is before


def test_parts_that_fit_one_another_may_come_together(toy_pipe):
    vae = AutoencoderKL.from_config(toy_pipe.vae.config, latent_channels=4)
    with swapped_part(toy_pipe, unet=narrow_unet(toy_pipe).eval(), vae=vae.eval()):
        assert generate.generate(toy_pipe, SPEC).frames.shape == (2, 32, 32, 3)


def test_a_part_is_read_as_the_one_that_it_replaces(toy_pipe, tmp_path, caplog):
    tiny().half().save_pretrained(tmp_path)
    diffusers_logging.enable_propagation()
    read = read_part(AutoencoderTiny, tmp_path, like=toy_pipe.vae)
    diffusers_logging.disable_propagation()
    assert caplog.records == []
    assert read.dtype == torch.float32 and not read.training
    assert not any(p.requires_grad for p in read.parameters())
    check_parts(toy_pipe, vae=read)


def test_the_text_half_of_a_clip_is_read(capfd):
    like = CLIPTextModel(CLIPTextConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1))
    with torch.no_grad():
        read = hidden(read_part(CLIPTextModel, metrics.CARTOON, like), torch.arange(5)[None])
        assert capfd.readouterr().err == ""
        torch.testing.assert_close(read, hidden(metrics.load_clip().model.text_model, torch.arange(5)[None]))


def test_a_part_without_a_folder_is_refused(toy_pipe):
    with pytest.raises(FileNotFoundError, match="nowhere .* AutoencoderTiny"):
        read_part(AutoencoderTiny, "nowhere", like=toy_pipe.vae)


def test_a_damaged_part_is_refused(toy_pipe, tmp_path):
    tiny().save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ValueError, match=f"{tmp_path} .* AutoencoderTiny"):
        read_part(AutoencoderTiny, tmp_path, like=toy_pipe.vae)


def test_an_adapter_makes_another_width_fit(toy_pipe):
    encoder = Adapted(wide(toy_pipe), nn.Linear(48, 32))
    tokens = toy_pipe.tokenizer(["a dog"], return_tensors="pt").input_ids
    with torch.no_grad():
        wanted = encoder.adapter(encoder.text_encoder(tokens)[0])
    torch.testing.assert_close(encoder(tokens)[0], wanted)
    assert text_width(encoder) == 32 and text_width(encoder.text_encoder) == 48
    with swapped_part(toy_pipe, text_encoder=encoder):
        assert denoising.encode_prompt(toy_pipe, SPEC).shape == (2, 24, 32)


def test_an_adapter_may_read_several_layers(toy_pipe):
    encoder = toy_pipe.text_encoder
    tokens = toy_pipe.tokenizer(["a dog"], return_tensors="pt").input_ids
    with torch.no_grad():
        states = encoder(tokens, output_hidden_states=True).hidden_states
        both, read = torch.cat([states[0], states[-1]], dim=-1), hidden(encoder, tokens, (0, -1))
        passed = Adapted(encoder, nn.Identity(), (0, -1))(tokens)[0]
        torch.testing.assert_close(hidden(encoder, tokens), encoder(tokens)[0])
    torch.testing.assert_close(read, both)
    torch.testing.assert_close(passed, both)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (lambda pipe: {}, "no part is given"),
        (lambda pipe: {"d" * 10_000: tiny()}, "^d{50,60}[.]{3}d{50,60} is no part .*text_encoder, unet, vae"),
        (lambda pipe: {"decoder": tiny()}, "decoder is no part .*text_encoder, unet, vae"),
        (lambda pipe: {"scheduler": pipe.scheduler}, "scheduler is no part .*swapped_scheduler"),
        (lambda pipe: {"vae": pipe.unet}, "vae is a UNet3DConditionModel, .* AutoencoderKL or AutoencoderTiny"),
        (lambda pipe: {"unet": flat_unet()}, "unet is a UNet2DModel, .* UNet3DConditionModel"),
        (lambda pipe: {"text_encoder": None}, "text_encoder is a NoneType"),
        (lambda pipe: {"text_encoder": nn.Linear(2, 2)}, "text_encoder is a Linear"),
        (lambda pipe: {"text_encoder": pipe.vae}, "text_encoder is a AutoencoderKL"),
        (lambda pipe: {"text_encoder": pipe.unet}, "text_encoder is a UNet3DConditionModel"),
        (lambda pipe: {"vae": tiny(4)}, "makes latents of 8 channels, but the VAE reads 4"),
        (lambda pipe: {"unet": narrow_unet(pipe)}, "makes latents of 4 channels, but the VAE reads 8"),
        (lambda pipe: {"text_encoder": wide(pipe)}, "gives 48 numbers a token, but the UNet reads 32"),
        (lambda pipe: {"vae": tiny().half()}, "vae is in float16 on cpu, but the pipeline's in float32 on cpu"),
        (lambda pipe: {"vae": tiny().to("meta")}, "vae is in float32 on meta"),
        (lambda pipe: {"text_encoder": reader(pipe, vocab_size=100)}, r"has 100 tokens, but the tokenizer \d+"),
    ],
)
def test_what_cannot_fit_is_refused_and_changes_nothing(toy_pipe, parts, word):
    before = {name: getattr(toy_pipe, name) for name in ("vae", "unet", "text_encoder")}
    with pytest.raises(ValueError, match=word), swapped_part(toy_pipe, **parts(toy_pipe)):
        pass
    assert all(getattr(toy_pipe, name) is part for name, part in before.items())


def test_a_scheduler_inside_a_swap_comes_back_too(toy_pipe):
    before = toy_pipe.scheduler
    with swapped_part(toy_pipe, vae=tiny()), swapping.swapped_scheduler(toy_pipe, "euler"):
        pass
    assert toy_pipe.scheduler is before


def test_what_fits_is_not_refused(toy_pipe, hub_pipe):
    check_parts(toy_pipe, vae=tiny())
    check_parts(hub_pipe, vae=tiny(4))


def test_without_a_pipeline_nothing_is_swapped():
    for swap in (lambda: swapped_part(None, vae=tiny()), lambda: swapping.swapped_scheduler(None, "euler")):
        with pytest.raises(ValueError, match="pipe is of type NoneType"), swap():
            pass
