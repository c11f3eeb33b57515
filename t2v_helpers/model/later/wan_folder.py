"""The door for a folder with Wan 2.1 in it: as folders/, with rules for its own classes.

The denoiser and the text encoder run in `dtype`; the VAE, and the few layers of the denoiser that carry times and
scales, in float32, as diffusers does it (WanTransformer3DModel._keep_in_fp32_modules).
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from t2v_helpers.core import checking, files
from t2v_helpers.inside import unet_config
from t2v_helpers.inside.unet_config import HUGE, list_of, number, one_of, positive, whole
from t2v_helpers.model import folders
from t2v_helpers.model.folders import Kind, damaged, manifests

ROOM = 512  # tokens of a prompt, of which the last one ends it
SINGLE = {"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"}  # layers that stay in float32
MARKS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
_FLAG = one_of(True, False)
_DENOISER = {
    **dict.fromkeys(("num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "text_dim",
                     "freq_dim", "ffn_dim", "rope_max_seq_len"), whole()),
    "patch_size": (lambda x: x == [1, 2, 2], "[1, 2, 2]"), "num_layers": whole(100), "cross_attn_norm": _FLAG,
    "qk_norm": one_of("rms_norm_across_heads"), "eps": positive(),
    **dict.fromkeys(("image_dim", "added_kv_proj_dim", "pos_embed_seq_len"), one_of(None)),
}  # fmt: skip
_TEXT = {
    **dict.fromkeys(("d_model", "d_kv", "d_ff", "num_heads", "relative_attention_num_buckets",
                     "relative_attention_max_distance"), whole()),
    "vocab_size": whole(2**20), "num_layers": whole(100), "layer_norm_epsilon": positive(),
    "feed_forward_proj": one_of("gated-gelu"), "pad_token_id": one_of(0), "eos_token_id": one_of(1),
}  # fmt: skip
_VAE = {
    **dict.fromkeys(("base_dim", "z_dim"), whole()), "num_res_blocks": whole(16),
    "dim_mult": list_of(whole(64), 4, 4), "attn_scales": list_of(positive(), 0, 0),
    "temperal_downsample": (lambda x: x == [False, True, True], "[false, true, true]"), "dropout": one_of(0.0),
    "latents_mean": list_of(number(-HUGE, HUGE), 1, 2**10), "latents_std": list_of(positive(), 1, 2**10),
    "is_residual": one_of(False),
    **dict.fromkeys(("in_channels", "out_channels"), one_of(3)), "decoder_base_dim": one_of(None),
    "patch_size": one_of(None), "scale_factor_temporal": one_of(4), "scale_factor_spatial": one_of(8),
}  # fmt: skip
_SCHEDULER = {
    "_class_name": one_of("UniPCMultistepScheduler"), "prediction_type": one_of("flow_prediction"),
    "use_flow_sigmas": one_of(True), "num_train_timesteps": one_of(1000), "flow_shift": positive(),
}  # fmt: skip
_INDEX = {"_class_name": one_of("WanPipeline"), "expand_timesteps": one_of(False, None),
          "boundary_ratio": one_of(None)}  # fmt: skip


def _stored_once(name: str) -> str:
    """The table of tokens has two names, and is stored under one."""
    return "shared.weight" if name == "encoder.embed_tokens.weight" else name


KIND_OF = {
    "text_encoder": Kind("UMT5EncoderModel", lambda **c: UMT5EncoderModel(UMT5Config(**c)), "model", _TEXT,
                         _stored_once, ("vocab_size", "d_model", "num_layers")),
    "transformer": Kind("WanTransformer3DModel", WanTransformer3DModel, "diffusion_pytorch_model", _DENOISER, str,
                        ("in_channels", "out_channels", "text_dim", "num_layers")),
    "vae": Kind("AutoencoderKLWan", AutoencoderKLWan, "diffusion_pytorch_model", _VAE, str, ("z_dim",)),
}  # fmt: skip


def read(folder: Path, dtype: torch.dtype, tokenizer: dict) -> WanPipeline:
    """The pipeline in `folder`, on the CPU. tokenizer: the "bytes" and "sha256" that its tokenizer.json must have.

    ValueError: no Wan 2.1, or a file that is changed, cut short or missing; nothing large is read before.
    """
    _check_index(folder)
    configs = {part: folders.config_of(folder / part, kind) for part, kind in KIND_OF.items()}
    _check_fit(folder, configs)
    words, scheduler = _tokenizer(folder / "tokenizer" / "tokenizer.json", tokenizer), _scheduler(folder)
    if len(words) > configs["text_encoder"]["vocab_size"]:
        raise damaged(f"{folder / 'tokenizer'} has {len(words)} tokens, more than the text encoder knows")
    empty = {part: folders.bare(kind, configs[part], folder / part) for part, kind in KIND_OF.items()}
    for part, kind in KIND_OF.items():
        folders.check_weights(folder / part, kind, None, empty[part])
    dtypes = {"text_encoder": dtype, "transformer": torch.float32, "vae": torch.float32}
    made = {part: folders.part(folder / part, KIND_OF[part], dtypes[part], None, config, empty[part])
            for part, config in configs.items()}  # fmt: skip
    _lower(made["transformer"], dtype)
    made["text_encoder"].set_input_embeddings(made["text_encoder"].shared)  # one table, on a GPU as well
    return WanPipeline(tokenizer=words, scheduler=scheduler, **made)


def _check_index(folder: Path) -> None:
    """ValueError unless the folder holds a WanPipeline with one denoiser, and all its parts."""
    path = folder / "model_index.json"
    if not path.is_file():
        raise ValueError(f"{files.no_file(path)}: give a folder with a WanPipeline, or leave it out.")
    _obeys(path, _INDEX, ("expand_timesteps", "boundary_ratio"))
    if missing := [part for part in (*KIND_OF, "scheduler", "tokenizer") if not (folder / part).is_dir()]:
        raise damaged(f"{folder} lacks {', '.join(missing)}")
    for part in (*KIND_OF, "scheduler", "tokenizer"):
        files.check_link(folder / part)


def _obeys(path: Path, rules: dict, optional: tuple[str, ...] = ()) -> dict:
    """What a file of JSON holds. ValueError: a value that its rule does not allow."""
    found = folders.read(path)
    try:
        unet_config.check(found, rules, optional)
    except ValueError as error:
        raise damaged(f"{path}: {str(error)[:-1]}") from error
    return found


def _check_fit(folder: Path, configs: dict[str, dict]) -> None:
    denoiser, text, vae = (configs[part] for part in ("transformer", "text_encoder", "vae"))
    for part, key, given, needed in (
        ("transformer", "out_channels", denoiser["out_channels"], denoiser["in_channels"]),
        ("vae", "z_dim", vae["z_dim"], denoiser["in_channels"]),
        ("text_encoder", "d_model", text["d_model"], denoiser["text_dim"]),
        *(("vae", key, len(vae[key]), vae["z_dim"]) for key in ("latents_mean", "latents_std") if key in vae),
    ):
        if given != needed:
            raise damaged(f"{folder / part / 'config.json'} has {key} for {given}, but it must be {needed}")


def _tokenizer(path: Path, expected: dict) -> PreTrainedTokenizerFast:
    """The published tokenizer, and no other: tokenizer.json can hold any program of replacements."""
    if not path.is_file():
        raise damaged(f"{path} does not exist")
    files.check_link(path)
    if fault := manifests.fault(path, expected):
        raise damaged(fault)
    return PreTrainedTokenizerFast(tokenizer_file=str(path), model_max_length=ROOM, **MARKS)


def _scheduler(folder: Path) -> UniPCMultistepScheduler:
    """The folder's own scheduler, whose step along a flow is shifted towards noise by flow_shift."""
    path = folder / "scheduler" / "scheduler_config.json"
    found = _obeys(path, _SCHEDULER)
    with torch.device("cpu"):  # whatever torch's default is
        made = UniPCMultistepScheduler(**{key: found[key] for key in _SCHEDULER if key != "_class_name"})
    for key in made.config.keys() & found.keys():
        if not key.startswith("_") and made.config[key] != found[key]:
            needed = checking.shown(made.config[key])
            raise damaged(f"{path} has {key}={checking.shown(found[key])}, but it must be {needed}")
    return made


def _lower(denoiser: torch.nn.Module, dtype: torch.dtype) -> None:
    """All but the layers of SINGLE in `dtype`."""
    for name, parameter in denoiser.named_parameters():
        if not SINGLE & set(name.split(".")):
            parameter.data = parameter.data.to(dtype)
