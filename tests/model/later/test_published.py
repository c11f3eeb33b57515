"""Published models: their parameters are those of the published files, their strides and tokens those of the classes.

Counts come from elsewhere than the configurations: from sizes of files, papers, and other people's runs.
"""

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from t2v_helpers.model.later import cost, wan, wan_folder
from t2v_helpers.model.later.published import MODELS, TABLE, Clip

COUNTS = {  # (model, part) -> parameters, and who says so
    ("modelscope", "denoiser"): 1_411_233_860,  # the file of weights: tests/inside/test_tracing.py
    ("wan2.1", "vae"): 126_892_531,  # Wan Team 2025, arXiv 2503.20314, section 4.1: 127 M
    ("wan2.2", "denoiser"): 4_999_787_712,  # counted in the files of the hub by several projects
    ("wan2.2", "vae"): 704_688_668,  # Wan2.2_VAE.pth has 2,818,839,170 bytes: 4 for each, and their names
    ("ltx-video", "denoiser"): 1_923_385_472,  # finetrainers' documentation, "trainable parameters"
    ("cogvideox-2b", "text_encoder"): 4_762_310_656,  # T5 v1.1 XXL, its encoder: 4.76 G
}
FILES = {  # (model, part) -> bytes of the published file of weights, bytes of a parameter in it
    ("wan2.1", "text_encoder"): (sum(file["bytes"] for name, file in wan.PUBLISHED["files"].items()
                                     if name.startswith("text_encoder/model")), 4),
    ("wan2.1", "denoiser"): (4_998_781_576 + 677_289_072, 4),
    ("wan2.1", "vae"): (507_591_892, 4),
    ("ltx-video", "vae"): (2_493_855_612, 2),
    ("cogvideox-2b", "vae"): (431_221_142, 2),
}  # fmt: skip
ROUGHLY = {("cogvideox-2b", "denoiser"): 1.69e9, ("hunyuanvideo-1.5", "denoiser"): 8.3e9}  # from names and READMEs


@pytest.fixture(scope="module")
def parts():
    return {name: model.parts() for name, model in MODELS.items()}


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name, part", COUNTS)
def test_parameters_are_the_published_ones(parts, name, part):
    assert parameters(parts[name][part]) == COUNTS[name, part]


@pytest.mark.parametrize("name, part", FILES)
def test_parameters_fill_the_published_files(parts, name, part):
    size, each = FILES[name, part]
    assert 0 < size - each * parameters(parts[name][part]) < 200_000  # the headers, with the tensors' names


@pytest.mark.parametrize("name, part", ROUGHLY)
def test_parameters_are_about_what_the_name_says(parts, name, part):
    assert parameters(parts[name][part]) == pytest.approx(ROUGHLY[name, part], rel=0.005)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"modelscope"}))
def test_the_vae_makes_latents_of_the_shape_that_is_said(parts, name):
    """Encoded on the meta device: 17 frames, 4 places high and 6 wide, and one frame by itself."""
    model, vae = MODELS[name], parts[name]["vae"]
    _, h, w = model.stride
    for frames in (1, 17):
        clip = Clip(frames, 4 * h, 6 * w, 8)
        with torch.no_grad():
            found = vae.encode(torch.zeros(1, 3, frames, 4 * h, 6 * w, device="meta")).latent_dist.mean
        assert found.shape[1:] == model.latent_shape(clip)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"modelscope"}))
def test_the_first_block_reads_as_many_tokens_as_is_said(name):
    described = MODELS[name].configs["denoiser"]
    shallow = {"kind": described["kind"], "config": described["config"] | {"num_layers": 1}}
    traced = cost.call(replace(MODELS[name], configs={"denoiser": shallow}))
    first = next(row for row in traced.rows if row.name in ("blocks.0", "transformer_blocks.0"))
    assert first.input[1] == MODELS[name].tokens()


def test_wan_is_configured_as_its_files_on_the_hub_say():
    """The texts have the pinned hashes, so they are the published ones; our rules let them pass, and lose nothing."""
    for name, kind in wan_folder.KIND_OF.items():
        found = wan_folder.folders.known(TEXTS[f"{name}/config.json"], kind, name)
        ours = MODELS["wan2.1"].configs["denoiser" if name == "transformer" else name]["config"]
        assert ours.items() <= (found | {"dropout": 0.0}).items() if name == "vae" else ours.items() <= found.items()


@pytest.mark.parametrize("name", ["transformer/config.json", "vae/config.json", "text_encoder/config.json",
                                  "scheduler/scheduler_config.json", "model_index.json"])  # fmt: skip
def test_the_texts_are_those_of_the_hub(name):
    text = json.dumps(TEXTS[name], indent=2) + "\n"
    published = wan.PUBLISHED["files"][name]
    assert (len(text), hashlib.sha256(text.encode()).hexdigest()) == (published["bytes"], published["sha256"])


def test_every_model_says_where_its_numbers_come_from():
    for model in MODELS.values():
        assert model.sources and all(len(source) > 20 for source in model.sources)
    assert set(json.loads(TABLE.read_text())) == set(MODELS)


@pytest.mark.parametrize("clip, words", [
    (Clip(80, 480, 832, 16), "frames=80"), (Clip(0, 480, 832, 16), "frames=0"), (Clip(81, 488, 832, 16), "height=488"),
    (Clip(81, 480, 840, 16), "width=840"), (Clip(81, 480, 4096, 16), "width=4096"),
    (Clip(8.5, 480, 832, 16), "frames=8.5"),
])  # fmt: skip
def test_a_clip_that_the_model_cannot_cut_is_refused(clip, words):
    with pytest.raises(ValueError, match=words):
        MODELS["wan2.1"].latent_shape(clip)


def test_a_clip_is_as_long_as_it_plays():
    assert Clip(81, 480, 832, 16).seconds == 5.0625 and str(Clip(81, 480, 832, 16)) == "81 x 480 x 832"


WAN_DIM = {"in_channels": 16, "num_attention_heads": 12, "num_layers": 30, "out_channels": 16}
DEV = "0.33.0.dev0"
TEXTS = {  # Wan-AI/Wan2.1-T2V-1.3B-Diffusers, the revision of wan.json: key by key, in the order of the files
    "model_index.json": {
        "_class_name": "WanPipeline", "_diffusers_version": DEV, "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "text_encoder": ["transformers", "UMT5EncoderModel"], "tokenizer": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "WanTransformer3DModel"], "vae": ["diffusers", "AutoencoderKLWan"]},
    "transformer/config.json": {
        "_class_name": "WanTransformer3DModel", "_diffusers_version": DEV, "added_kv_proj_dim": None,
        "attention_head_dim": 128, "cross_attn_norm": True, "eps": 1e-06, "ffn_dim": 8960, "freq_dim": 256,
        "image_dim": None, **WAN_DIM, "patch_size": [1, 2, 2], "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024, "text_dim": 4096},
    "vae/config.json": {
        "_class_name": "AutoencoderKLWan", "_diffusers_version": DEV, "attn_scales": [], "base_dim": 96,
        "dim_mult": [1, 2, 4, 4], "dropout": 0.0,
        "latents_mean": [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517,
                         -0.3632, -0.1922, -0.9497, 0.2503, -0.2921],
        "latents_std": [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
                        1.6382, 1.1253, 2.8251, 1.916],
        "num_res_blocks": 2, "temperal_downsample": [False, True, True], "z_dim": 16},
    "text_encoder/config.json": {
        "_name_or_path": "google/umt5-xxl", "architectures": ["UMT5EncoderModel"], "classifier_dropout": 0.0,
        "d_ff": 10240, "d_kv": 64, "d_model": 4096, "decoder_start_token_id": 0, "dense_act_fn": "gelu_new",
        "dropout_rate": 0.1, "eos_token_id": 1, "feed_forward_proj": "gated-gelu", "initializer_factor": 1.0,
        "is_encoder_decoder": True, "is_gated_act": True, "layer_norm_epsilon": 1e-06, "model_type": "umt5",
        "num_decoder_layers": 24, "num_heads": 64, "num_layers": 24, "output_past": True, "pad_token_id": 0,
        "relative_attention_max_distance": 128, "relative_attention_num_buckets": 32, "scalable_attention": True,
        "tie_word_embeddings": False, "tokenizer_class": "T5Tokenizer", "torch_dtype": "float32",
        "transformers_version": "4.48.0.dev0", "use_cache": True, "vocab_size": 256384},
    "scheduler/scheduler_config.json": {
        "_class_name": "UniPCMultistepScheduler", "_diffusers_version": DEV, "beta_end": 0.02,
        "beta_schedule": "linear", "beta_start": 0.0001, "disable_corrector": [], "dynamic_thresholding_ratio": 0.995,
        "final_sigmas_type": "zero", "flow_shift": 3.0, "lower_order_final": True, "num_train_timesteps": 1000,
        "predict_x0": True, "prediction_type": "flow_prediction", "rescale_betas_zero_snr": False,
        "sample_max_value": 1.0, "solver_order": 2, "solver_p": None, "solver_type": "bh2", "steps_offset": 0,
        "thresholding": False, "timestep_spacing": "linspace", "trained_betas": None, "use_beta_sigmas": False,
        "use_exponential_sigmas": False, "use_flow_sigmas": True, "use_karras_sigmas": False},
}  # fmt: skip
