"""What a LoRA's config may say: numbers within limits, and no setting that would change what it computes."""

import math

import pytest
from peft import LoraConfig

from t2v_helpers.model.folders import lora_config

CONFIG = LoraConfig(r=4, lora_alpha=8).to_dict() | {"peft_type": "LORA"}
ENORMOUS = [2**62, 10**30, 10**400, 10**4000]


@pytest.mark.parametrize("key, value", [
    *(("r", r) for r in [*ENORMOUS, 0, -1, 1.5, True, None, "4", math.nan]),
    *(("lora_alpha", alpha) for alpha in [*ENORMOUS, 1e308, 1e-300, 0, -1, True, None, "8", math.inf, math.nan]),
    ("use_rslora", "no"), ("peft_type", "IA3"), ("peft_type", ["LORA"]),
])  # fmt: skip
def test_a_value_that_its_rule_does_not_allow_is_named(key, value):
    with pytest.raises(ValueError, match=f"has {key}=.*, but it must be"):
        lora_config.check(CONFIG | {key: value})


@pytest.mark.parametrize("key", lora_config.REQUIRED)
def test_what_a_scale_needs_is_required(key):
    with pytest.raises(ValueError, match=f"lacks {key}"):
        lora_config.check({name: value for name, value in CONFIG.items() if name != key})


@pytest.mark.parametrize("start", [True, False, None, "gaussian", "Gaussian", "eva", "orthogonal", "mica"])
def test_how_a_and_b_began_does_not_matter_once_they_are_stored(start):
    lora_config.check(CONFIG | {"init_lora_weights": start})


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora", "OLoRA", "corda", "loftq", "lora_ga", "new", 1])
def test_a_start_that_changes_the_base_is_refused(start):
    with pytest.raises(ValueError, match="init_lora_weights=.* others also change the weights"):
        lora_config.check(CONFIG | {"init_lora_weights": start})


@pytest.mark.parametrize("key, value", [("use_dora", True), ("alpha_pattern", {"to_q": 9}), ("lora_bias", True),
                                        ("corda_config", {"a": 1}), ("of_tomorrow", 1)])  # fmt: skip
def test_a_setting_that_is_not_read_is_named(key, value):
    with pytest.raises(ValueError, match=f"{key}=.* is not read here, and may change what the LoRA computes"):
        lora_config.check(CONFIG | {key: value})


def test_alpha_over_r_is_what_peft_multiplies_by():
    assert lora_config.alpha(CONFIG) == 8
    assert lora_config.alpha(CONFIG | {"use_rslora": True}) / 4 == 8 / math.sqrt(4)
