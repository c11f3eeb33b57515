"""What later models cost: counted by hand, by a smaller clip, by a real tiny model on the CPU."""

from dataclasses import replace

import pytest
import torch
from diffusers import HunyuanVideo15Transformer3DModel

from t2v_helpers.inside import tracing
from t2v_helpers.model import loading
from t2v_helpers.model.later import cost
from t2v_helpers.model.later.published import MODELS, Clip, Published

WAN = MODELS["wan2.1"]
TINY_HUNYUAN = {
    "in_channels": 9, "out_channels": 4, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2,
    "num_refiner_layers": 1, "patch_size": 1, "patch_size_t": 1, "text_embed_dim": 16, "text_embed_2_dim": 8,
    "image_embed_dim": 12, "rope_axes_dim": [4, 6, 6], "target_size": 16, "task_type": "t2v", "qk_norm": "rms_norm",
}  # fmt: skip


@pytest.fixture(scope="module")
def wan_call():
    return cost.call(WAN)


def test_a_call_of_wan_counted_by_hand(wan_call):
    """The matrices and the attentions, Vaswani et al. 2017, section 3.2: two FLOPs for each multiplication and sum."""
    n, t, d, f, layers = WAN.tokens(), 512, 1536, 8960, 30
    over_all, to_text = 8 * n * d * d + 4 * n * n * d, 4 * (n + t) * d * d + 4 * n * t * d
    by_hand = layers * (over_all + to_text + 4 * n * d * f)
    assert wan_call.total.flops == pytest.approx(by_hand, rel=1e-3) and wan_call.total.flops > by_hand
    kinds = {kind: work.flops for kind, work in wan_call.by_kind().items()}
    assert kinds["attention over all"] == layers * over_all and kinds["attention to text"] == layers * to_text
    assert kinds["feed-forward"] == layers * 4 * n * d * f


def test_nothing_large_is_left_among_the_rest(wan_call):
    rest = wan_call.by_kind()["the rest"].flops
    assert rest / wan_call.total.flops < 1e-3


def test_a_longer_clip_costs_more_than_in_proportion(wan_call):
    short = cost.call(WAN, replace(WAN.clip, frames=41)).total.flops
    tokens = WAN.tokens() / WAN.tokens(replace(WAN.clip, frames=41))
    assert tokens < wan_call.total.flops / short < tokens**2


def test_modelscope_costs_what_notebook_01_says():
    guided = tracing.trace_parts(loading.skeleton("modelscope"))["unet"].total.flops
    found = cost.row(MODELS["modelscope"])
    assert (
        2 * found.call == guided
        and sum(found.kinds.values()) == found.call
        and found.parameters["denoiser"] == 1_411_233_860
    )
    assert found.each_second == 50 * guided / 2 and found.each_pixel == found.each_second / (8 * 256 * 256)


def test_a_time_for_each_token_is_counted():
    """Wan 2.2 takes one, so that a first frame may be clean: its time embedding is made for every token."""
    five = MODELS["wan2.2"]
    described = five.configs["denoiser"]
    shallow = replace(five, configs={"denoiser": described | {"config": described["config"] | {"num_layers": 1}}})
    many, one = (cost.call(replace(shallow, one_time_per_token=each)).by_kind() for each in (True, False))
    assert many["time embedding"].flops == five.tokens() * one["time embedding"].flops
    assert many["feed-forward"].flops == one["feed-forward"].flops


def test_hunyuan_without_numbers_counts_as_with_them():
    """Its text is sorted by masks: a real model on the CPU, in which every token is valid, does the same work."""
    described = {"denoiser": {"kind": "HunyuanVideo15Transformer3DModel", "config": TINY_HUNYUAN}}
    about = {"name": "tiny", "title": "Tiny", "year": 2025, "licence": "", "objective": "flow", "backbone": ""}
    tiny = Published(**about, clip=Clip(9, 32, 48, 8), stride=(4, 8, 8), channels=4, patch=(1, 1, 1),
                     text_tokens=(5, 3, 2), configs=described, sources=())  # fmt: skip
    real = HunyuanVideo15Transformer3DModel(**TINY_HUNYUAN).eval()
    given = cost.INPUTS["HunyuanVideo15Transformer3DModel"](real.config, tiny, torch.zeros(1, *tiny.latent_shape()))
    traced = tracing.trace(real, **given | {"image_embeds": torch.ones(1, 2, 12)})
    assert cost.call(tiny).total[:2] == traced.total[:2]


def test_the_mode_lets_other_tensors_alone():
    mask = torch.tensor([True, False, True])
    with cost._EveryTokenCounts():
        assert torch.arange(3)[mask].tolist() == [0, 2] and torch.arange(3)[~mask].tolist() == [1]
        assert not bool(torch.tensor(False)) and bool(torch.tensor(True))
    x, all_of_them = torch.zeros(3, 2, device="meta"), torch.ones(3, dtype=torch.bool, device="meta")
    with cost._EveryTokenCounts():
        assert x[all_of_them].shape == (3, 2) and x[~all_of_them].shape == (0, 2)
        assert x[~(~all_of_them)].shape == (3, 2)


def test_the_tables_name_each_model_and_its_numbers():
    row = cost.Row(
        WAN, WAN.clip, {"denoiser": 1_418_996_800, "text_encoder": 5_680_910_336, "vae": 126_892_531}, {"all": 10**12}
    )
    text = str(cost.facts([row]) + cost.costs([row]))
    for words in ("Wan 2.1 T2V 1.3B", "Apache-2.0", "4 8 8", "32,760", "1.42 G", "5.68 G", "0.13 G", "13.5 GiB",
                  "1.00 TFLOP", "19.8 TFLOP", "3.09 MFLOP"):  # fmt: skip
        assert words in text, words
    assert len(cost.HEAD) == len(cost.facts([row])[0]) and len(cost.COSTS) == len(cost.costs([row])[0])


def test_two_text_encoders_count_as_one_part():
    row = cost.Row(WAN, WAN.clip, {"denoiser": 1, "text_encoder": 2 * 10**9, "text_encoder_2": 10**9, "vae": 1}, {})
    assert cost.costs([row])[0][2] == "3.00 G" and row.weights == 2 * (3 * 10**9 + 2)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="names='wan2'.*wan2.1"):
        cost.rows(["wan2"])
