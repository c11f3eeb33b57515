"""allocations: the peak of activations, held against sums done by hand, and against a trace of ModelScopeT2V."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from t2v_helpers.inside import activation_memory
from t2v_helpers.model import loading

KIB = 1024


def on_meta(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers).to("meta")


def test_a_chain_holds_what_goes_in_and_what_comes_out():
    """Three layers of [256 64]: two results of 64 KiB live at one time, the third takes the first one's place."""
    model = on_meta(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64))
    assert activation_memory.peak(model, torch.zeros(256, 64, device="meta")) == 2 * 64 * KIB


def test_what_is_kept_for_later_counts_until_then():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = on_meta(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64))

        def forward(self, x):
            kept = x + 1
            return self.inside(kept) + kept

    assert activation_memory.peak(Skip(), torch.zeros(256, 64, device="meta")) == 3 * 64 * KIB


def test_views_take_nothing():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(64, 64, device="meta")

        def forward(self, x):
            return x.t().reshape(64, -1).unsqueeze(0), self.layer.weight.t()

    assert activation_memory.peak(Turned(), torch.zeros(256, 64, device="meta")) == 0


ATTEND = {
    "in order": lambda x, y: scaled_dot_product_attention(x, y, y),
    "one by name": lambda x, y: scaled_dot_product_attention(x, y, value=y),
    "all by name": lambda x, y: scaled_dot_product_attention(query=x, key=y, value=y),
}


@pytest.mark.parametrize("attend", ATTEND.values(), ids=list(ATTEND))
def test_an_attention_makes_no_table_of_scores(attend):
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1, device="meta")

        def forward(self, x, y):
            return attend(x, y)

    x = torch.zeros(1, 1, 4096, 16, device="meta")
    assert activation_memory.peak(Attention(), x, x[:, :, :77]) == 4096 * 16 * 4  # the table would take 4096 * 77 * 4


def test_half_the_precision_takes_half():
    model, x = on_meta(nn.Linear(64, 64)), torch.zeros(256, 64, device="meta")
    assert activation_memory.peak(model.half(), x.half()) == 32 * KIB


def test_weights_in_memory_are_refused():
    with pytest.raises(ValueError, match="model .*cpu.*meta"):
        activation_memory.peak(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="model is on no device"):
        activation_memory.peak(nn.ReLU(), torch.zeros(1, 2))


def test_the_real_model():
    """1.3 GiB for the UNet with 16 frames, 0.19 GiB for one frame of the decoder: in float32, as a trace in another
    program found. The UNet's share grows with the frames."""
    parts = loading.skeleton("modelscope")
    few, many = activation_memory.peaks(parts, 4, 32, 32), activation_memory.peaks(parts, 16, 32, 32)
    assert many["unet"] / 2**30 == pytest.approx(1.30, abs=0.01)
    assert few["unet"] / many["unet"] == pytest.approx(1 / 4, rel=0.01)
    assert few["vae"] == many["vae"] and many["vae"] / 2**30 == pytest.approx(0.19, abs=0.01)
    assert many["text_encoder"] < many["vae"] / 10
