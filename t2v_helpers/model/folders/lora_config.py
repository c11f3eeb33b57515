"""What the config of a LoRA may say: peft's adapter_config.json.

A setting has a rule, or changes nothing once A and B are stored, or has its default; any other could change what the
LoRA computes, or the weights that it was added to, and is refused.
"""

import math
from collections.abc import Mapping

from peft import LoraConfig

from t2v_helpers.core import checking, files
from t2v_helpers.inside import unet_config
from t2v_helpers.inside.unet_config import Rule, one_of, positive, whole

DEFAULTS = LoraConfig().to_dict()
REQUIRED = ("peft_type", "r", "lora_alpha")
STARTS = ("gaussian", "eva", "orthogonal", "mica")  # of A and B, beside which the base keeps its own weights
RULES: dict[str, Rule] = {
    "peft_type": one_of("LORA"), "r": whole(), "lora_alpha": positive(), "use_rslora": one_of(True, False, None),
    "init_lora_weights": (
        lambda x: isinstance(x, bool | None) or (isinstance(x, str) and x.lower() in STARTS),
        f"true, false, {' or '.join(STARTS)}, since others also change the weights that the LoRA is added to",
    ),
}  # fmt: skip
UNUSED = (  # settings that change nothing once the tensors are there, whose names say where they belong
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "base_model_name_or_path",
    "revision", "inference_mode", "lora_dropout", "task_type", "auto_mapping", "peft_version", "megatron_core",
    "qalora_group_size", "eva_config",
)  # fmt: skip


def check(config: Mapping) -> None:
    """ValueError for a setting that its rule does not allow, or one that is not read and may change the LoRA."""
    unet_config.check(config, RULES, RULES.keys() - set(REQUIRED))
    for key in config.keys() - RULES.keys() - set(UNUSED):
        if config[key] and config[key] != DEFAULTS.get(key):
            given = f"{files.named(key)}={checking.shown(config[key])}"
            raise ValueError(f"{given} is not read here, and may change what the LoRA computes.")


def alpha(config: Mapping) -> float:
    """Alpha of alpha / r. With use_rslora peft divides by sqrt(r) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    return config["lora_alpha"] * (math.sqrt(config["r"]) if config.get("use_rslora") else 1)
