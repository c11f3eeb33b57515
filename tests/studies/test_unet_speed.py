"""The times of two UNets: they take turns, on the same weights and inputs, and every time has its bar."""

import pytest
import torch
from torch import nn

from t2v_helpers.inside import temporal, unet
from t2v_helpers.studies import release, unet_speed


@pytest.fixture(scope="module")
def own(toy_pipe) -> unet.UNet3D:
    return unet.from_diffusers(toy_pipe.unet)


def test_every_bar_is_measured_as_often_as_asked(toy_pipe):
    found = unet_speed.measure_unet(toy_pipe.unet, repeats=2, frames=2)
    assert set(found) == {name for name in release.BARS if name.startswith("unet/")}
    assert all(m.n == 2 and 0 < m.low <= m.value <= m.high for m in found.values())


def test_the_runs_take_turns_and_the_first_turn_does_not_count():
    calls = []
    seconds = unet_speed.in_turns({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert calls == list("ababab") and [len(found) for found in seconds.values()] == [2, 2]


@torch.no_grad()
def test_both_convolutions_along_time_compute_the_same_on_the_inputs_of_a_step(own):
    x_t, text = torch.randn(1, 8, 3, 8, 8), torch.randn(1, 5, 32)
    runs = unet_speed.conv_runs(own, x_t, text)
    found, wanted = runs["Conv2d"](), runs["Conv3d"]()
    assert len(found) == sum(isinstance(part, nn.Conv3d) for part in own.modules())
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b.flatten(3), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_text_has_the_same_keys_for_each_frame_of_a_video(own):
    runs = unet_speed.text_runs(own, torch.randn(2, 5, 32), frames=3)
    every, once = runs["text for each frame"](), runs["text for each video"]()
    for (k, _), (k_once, _) in zip(every, once, strict=True):
        torch.testing.assert_close(k, k_once.repeat_interleave(3, dim=0))


# --- Conv3d against Conv2d in diffusers' UNet


def test_a_step_is_timed_both_ways_and_gives_the_same(toy_pipe):
    found, off = unet_speed.measure_conv(toy_pipe.unet, repeats=2, frames=3)
    assert set(found) == {"Conv3d", "Conv2d", "ratio"} and all(m.n == 2 and m.value > 0 for m in found.values())
    assert off < 1e-5


def test_the_two_ways_are_two_ways(toy_pipe, monkeypatch):
    monkeypatch.setattr(temporal, "_as_conv2d", lambda conv, x: torch.zeros_like(x))
    assert unet_speed.measure_conv(toy_pipe.unet, repeats=1, frames=2)[1] > 1e-3


def test_the_command_prints_both_times(toy_folder, capsys):
    words = [str(toy_folder), "--device", "cpu", "--frames", "2", "--repeats", "2"]
    assert unet_speed.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["Conv3d", "Conv2d", "ratio", "the"] and "n = 2" in lines[2]


@pytest.mark.parametrize("words, said", [(["sora"], "model='sora' is unknown"), (["x/y"], "is no folder")])
def test_the_command_refuses_in_one_sentence(capsys, words, said):
    assert unet_speed.main(words) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
