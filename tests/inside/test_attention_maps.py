"""attention: what is recorded is what the model reads; the video stays what it was, and no hook is left."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import attention_maps, unet
from t2v_helpers.model import generate, loading

SPEC = GenerationSpec("a dog is dancing in times square", steps=2, frames=3, height=32, width=48)


@pytest.fixture(scope="module")
def made(toy_pipe):
    with attention_maps.recorded(toy_pipe) as maps:
        frames = generate.generate(toy_pipe, SPEC).frames
    return maps, frames


def test_the_video_is_the_same_bit_for_bit(made, toy_pipe):
    assert np.array_equal(made[1], generate.generate(toy_pipe, SPEC).frames)


def test_every_call_and_layer_is_there_with_its_shape(made):
    maps, _ = made
    assert maps.calls == 2 and {record.call for record in maps.records} == {0, 1}
    shapes = {record.layer: tuple(record.weights.shape) for record in maps.records}
    assert shapes["down_blocks.0.attentions.0.attn2"] == (2, 3, 4, 6, 24)  # b f h w t: not square
    assert shapes["down_blocks.0.temp_attentions.0.attn1"] == (2, 4, 6, 3, 3)  # b h w f f
    assert {record.kind for record in maps.records} == {"cross", "temporal"}


def test_rows_sum_to_one(made):
    assert max((record.weights.sum(-1) - 1).abs().max().item() for record in made[0].records) < 1e-5


def test_the_weights_are_those_that_the_model_goes_on_with(toy_pipe):
    block = toy_pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2
    x, text = torch.randn(6, 24, block.to_q.in_features), torch.randn(6, 5, block.to_k.in_features)
    maps = attention_maps.Maps()
    record = partial(attention_maps._record, maps, {"f": 3, "h": 4, "w": 6}, "cross", "one", ())
    hook = block.register_forward_pre_hook(record, with_kwargs=True)
    with torch.no_grad():
        out = block(x, encoder_hidden_states=text)
        hook.remove()
        values = block.to_v(text).unflatten(-1, (block.heads, -1)).transpose(1, 2)  # [n heads t d]
        keys, queries = (
            m(y).unflatten(-1, (block.heads, -1)).transpose(1, 2) for m, y in ((block.to_k, text), (block.to_q, x))
        )
        rows = (queries @ keys.transpose(-1, -2) * block.scale).softmax(-1)  # [n heads q t]
        again = block.to_out[0]((rows @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(maps.records[0].weights.flatten(0, 1).flatten(1, 2), rows.mean(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out, again, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fail", [False, True])
def test_no_hook_is_left_also_after_an_error(toy_pipe, fail):
    def hooks():
        return sum(len(part._forward_pre_hooks) for part in toy_pipe.unet.modules())

    before = hooks()
    try:
        with attention_maps.recorded(toy_pipe):
            assert hooks() > before
            if fail:
                raise KeyError
    except KeyError:
        pass
    assert hooks() == before


def test_one_layer_can_be_named_and_an_unknown_one_is_refused(toy_pipe):
    with attention_maps.recorded(toy_pipe, "mid_block") as maps:
        generate.generate(toy_pipe, SPEC)
    assert {record.layer.split(".")[0] for record in maps.records} == {"mid_block"}
    with pytest.raises(ValueError, match="layers='top' .*transformer_in"):
        attention_maps.recorded(toy_pipe, "top").__enter__()


def test_a_word_is_the_mean_over_its_tokens_layers_and_calls(made, toy_pipe):
    with attention_maps.recorded(toy_pipe, "down_blocks.0.attentions.0") as maps:
        generate.generate(toy_pipe, SPEC)
    heat = maps.of_word(toy_pipe.tokenizer, SPEC.prompt, "times square")
    first, second = (record.weights[1] for record in maps.chosen("cross"))  # [f h w t], of the prompt
    torch.testing.assert_close(heat, (first + second)[..., [6, 7]].mean(-1) / 2)  # a 1, dog 2, is 3, dancing 4, in 5
    assert made[0].of_word(toy_pipe.tokenizer, SPEC.prompt, "dog").shape == (3, 4, 6)


def test_a_token_that_is_left_out_leaves_its_share_to_the_others(made, toy_pipe):
    with attention_maps.recorded(toy_pipe, left_out=(2, 7)) as maps:
        frames = generate.generate(toy_pipe, SPEC).frames
    assert np.array_equal(frames, made[1])
    for before, after in zip(made[0].chosen("cross"), maps.chosen("cross"), strict=True):
        assert not after.weights[..., [2, 7]].any()
        torch.testing.assert_close(after.weights.sum(-1), before.weights.sum(-1))
        assert (after.weights[..., 3] > before.weights[..., 3]).all()
    pairs = zip(made[0].chosen("temporal"), maps.chosen("temporal"), strict=True)
    assert all(torch.equal(before.weights, after.weights) for before, after in pairs)


@torch.no_grad()
def test_what_is_left_of_a_row_is_the_softmax_of_what_is_left(toy_pipe):
    attn = toy_pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    x, text = torch.randn(6, 4, attn.to_q.in_features), torch.randn(6, 5, attn.to_k.in_features)
    maps, shape = attention_maps.Maps(), {"f": 3, "h": 2, "w": 2}
    attention_maps._record(maps, shape, "cross", "one", (1, 4), attn, (x,), {"encoder_hidden_states": text})
    wanted = attention_maps._weights(attn, x, text[:, [0, 2, 3]], None)
    torch.testing.assert_close(maps.records[0].weights.flatten(0, 1).flatten(1, 2)[..., [0, 2, 3]], wanted)


@pytest.mark.parametrize("word", ["cat", "", "square times"])
def test_a_word_that_is_not_in_the_prompt_is_refused(made, toy_pipe, word):
    with pytest.raises(ValueError, match="not in .*'a dog is dancing in times square'"):
        made[0].of_word(toy_pipe.tokenizer, SPEC.prompt, word)


def test_what_was_not_recorded_is_said(made):
    with pytest.raises(ValueError, match="layers='top' .*2 calls"):
        made[0].chosen("cross", "top")
    with pytest.raises(ValueError, match="there are 0 calls of nothing"):
        attention_maps.Maps().chosen("temporal")


def test_where_it_is_read_the_video_stays_bright():
    frames = np.full((2, 8, 8, 3), 200, np.uint8)
    heat = torch.zeros(2, 8, 8)
    heat[1, :, 4:] = 3
    lit = attention_maps.overlaid(frames, heat)
    assert lit.dtype == np.uint8 and (lit[0] == 50).all() and (lit[1, :, 4:] == 200).all()
    assert attention_maps.overlaid(frames, torch.ones(2, 2, 2)).shape == frames.shape


@pytest.mark.parametrize(
    ("heat", "word"),
    [
        (torch.zeros(3, 8, 8), "one picture for 2 frames"),
        (torch.zeros(2, 8), "one picture for 2 frames"),
        (torch.zeros(2, 0, 8), "one picture for 2 frames"),
        (torch.full((2, 8, 8), torch.nan), "finite numbers"),
    ],
)
def test_a_heat_of_another_video_is_refused(heat, word):
    with pytest.raises(ValueError, match=word):
        attention_maps.overlaid(np.zeros((2, 8, 8, 3), np.uint8), heat)


def test_in_the_cartoon_model_the_word_dancing_which_has_read_dog_is_read_where_the_dog_is():
    pipe = loading.load("cartoon", quiet=True)
    spec = GenerationSpec("a dog is dancing in times square", seed=1, steps=12, frames=4)
    with torch.no_grad(), attention_maps.recorded(pipe) as maps:
        generate.generate(pipe, spec)
    dog, place = (maps.of_word(pipe.tokenizer, spec.prompt, word) for word in ("dancing", "times square"))  # [f h w]
    inside, above = (slice(None), slice(3, 6), slice(2, 6)), (slice(None), slice(0, 2))
    assert (dog[inside].mean((1, 2)) > 2 * dog[above].mean((1, 2))).all(), "in every frame"
    assert place[inside].mean() < place[above].mean()


def test_a_second_prompt_or_length_is_refused_before_it_is_computed(toy_pipe):
    other = replace(SPEC, prompt="a cat is jumping")
    for second in (other, replace(SPEC, frames=SPEC.frames + 1)):
        with attention_maps.recorded(toy_pipe) as maps:
            generate.generate(toy_pipe, SPEC)
            calls = maps.calls
            with pytest.raises(ValueError, match="another prompt or length"):
                generate.generate(toy_pipe, second)
        assert maps.calls == calls
        assert maps.of_word(toy_pipe.tokenizer, SPEC.prompt, "dog").shape[0] == SPEC.frames


def test_a_heat_may_be_an_array():
    frames, heat = np.full((2, 8, 8, 3), 200, np.uint8), np.arange(128.0).reshape(2, 8, 8)
    assert (attention_maps.overlaid(frames, heat) == attention_maps.overlaid(frames, torch.from_numpy(heat))).all()


def test_what_chooses_no_layers_is_refused(made):
    with pytest.raises(ValueError, match="layers .*NoneType.* text"):
        made[0].chosen("cross", None)


@pytest.mark.parametrize("word", [None, 3, ["dog"]])
def test_a_word_and_a_prompt_are_texts(toy_pipe, word):
    with pytest.raises(ValueError, match="word .*text"):
        attention_maps.tokens_of(toy_pipe.tokenizer, SPEC.prompt, word)
    with pytest.raises(ValueError, match="prompt .*text"):
        attention_maps.tokens_of(toy_pipe.tokenizer, word, "dog")


def test_only_a_pipeline_can_be_recorded(toy_pipe):
    for other in (None, "cartoon", toy_pipe.vae):
        with pytest.raises(ValueError, match="pipe .*without a unet"):
            attention_maps.recorded(other).__enter__()
    with pytest.raises(ValueError, match="layers .*list.*text"):
        attention_maps.recorded(toy_pipe, ["mid"]).__enter__()


@pytest.mark.parametrize("heat", [None, "dog", [torch.zeros(8, 8), torch.zeros(8, 8)]])
def test_a_heat_is_an_array(heat):
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"heat .*\[f h w\]"):
        attention_maps.overlaid(frames, heat)


def test_a_heat_that_learns_can_be_shown():
    frames, heat = np.full((2, 8, 8, 3), 200, np.uint8), torch.rand(2, 8, 8, requires_grad=True)
    assert np.array_equal(attention_maps.overlaid(frames, heat), attention_maps.overlaid(frames, heat.detach()))


@pytest.mark.parametrize(("prompt", "word", "places"), [("a zebra", "a", [1]), ("a dog, a cat", "a", [1, 4])])
def test_a_word_is_not_found_in_the_end_of_another_one(toy_pipe, prompt, word, places):
    assert attention_maps.tokens_of(toy_pipe.tokenizer, prompt, word) == places
    assert toy_pipe.tokenizer("a zebra").input_ids.count(toy_pipe.tokenizer("a").input_ids[1]) == 2, "its last letter"


def test_a_unet_without_diffusers_attentions_is_refused(toy_pipe):
    before, toy_pipe.unet = toy_pipe.unet, unet.from_diffusers(toy_pipe.unet)
    try:
        with pytest.raises(ValueError, match="unet .*UNet3D .*attention"):
            with attention_maps.recorded(toy_pipe):
                pass
    finally:
        toy_pipe.unet = before
