"""The ways to be faster: each works on a real pipeline and leaves it as it was; the table, and what is read off it."""

import sys

import numpy as np
import pytest
import torch

from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.diffusion import guidance
from t2v_helpers.inside import feature_reuse, tracing, unet
from t2v_helpers.model import generate, loading
from t2v_helpers.studies import speedups, unet_speed
from t2v_helpers.studies.speedups import OPTIONS, PLAIN

SPEC = GenerationSpec("a dog is dancing", steps=2, frames=2)
COMPILED = "torch.compile"  # takes a compiler and a minute: the table's own run holds it against the rest
SHORT = {name: option for name, option in OPTIONS.items() if name != COMPILED}


def make(pipe, option, spec=SPEC):
    """speedups.made in as many steps as the spec has, whatever the option says."""
    return speedups.made(pipe, speedups.replace(option, steps=spec.steps), spec)


@pytest.fixture(scope="module")
def plain(toy_pipe) -> np.ndarray:
    return make(toy_pipe, OPTIONS[PLAIN])[0]


@pytest.mark.parametrize("name", SHORT)
def test_an_option_makes_a_video_and_leaves_the_pipeline_as_it_was(toy_pipe, plain, name):
    before = toy_pipe.unet, toy_pipe.vae, toy_pipe.vae.use_slicing
    frames, seconds = make(toy_pipe, OPTIONS[name])
    assert frames.shape == plain.shape and frames.dtype == np.uint8 and seconds > 0
    assert (toy_pipe.unet, toy_pipe.vae, toy_pipe.vae.use_slicing) == before and toy_pipe.predictor is guidance.guided
    assert np.array_equal(make(toy_pipe, OPTIONS[PLAIN])[0], plain)


@pytest.mark.parametrize("name", [name for name, option in SHORT.items() if option.exact])
def test_an_exact_option_changes_no_more_than_rounding(toy_pipe, plain, name):
    assert np.abs(make(toy_pipe, OPTIONS[name])[0].astype(int) - plain).max() <= 1


def test_the_pipeline_comes_back_also_after_an_error(toy_pipe):
    before = toy_pipe.unet
    with pytest.raises(KeyError, match="inside"), OPTIONS["deep features at interval 3"].way(toy_pipe, SPEC):
        assert type(toy_pipe.unet) is unet.UNet3D and toy_pipe.predictor.reuse == 3
        raise KeyError("inside")
    assert toy_pipe.unet is before and toy_pipe.predictor is guidance.guided


def test_the_options_are_in_force_inside_of_their_context(toy_pipe):
    with OPTIONS["bfloat16"].way(toy_pipe, SPEC):
        assert {toy_pipe.unet.dtype, toy_pipe.vae.dtype, toy_pipe.text_encoder.dtype} == {torch.bfloat16}
    with OPTIONS["guidance in two passes"].way(toy_pipe, SPEC):
        assert toy_pipe.predictor is guidance.in_two_passes
    with OPTIONS["text kept"].way(toy_pipe, SPEC):
        assert toy_pipe.unet.kept_text is not None
    with OPTIONS["VAE slicing switched"].way(toy_pipe, SPEC):
        assert toy_pipe.vae.use_slicing
    with OPTIONS["Conv3d as Conv2d"].way(toy_pipe, SPEC):
        assert any("forward" in vars(part) for part in toy_pipe.unet.modules())


def test_a_batch_gives_the_videos_that_one_by_one_would(toy_pipe):
    specs = [GenerationSpec("a cat is jumping", seed=seed, steps=3, frames=2, scheduler="lms") for seed in (1, 2, 3)]
    found = speedups.together(toy_pipe, specs)
    wanted = np.stack([generate.generate(toy_pipe, spec).frames for spec in specs])
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_fewer_steps_are_fewer_steps(toy_pipe, plain):
    frames, _ = speedups.made(toy_pipe, OPTIONS["6 steps"], SPEC)
    again = generate.generate(toy_pipe, speedups.replace(SPEC, steps=6)).frames
    assert np.array_equal(frames, again) and not np.array_equal(frames, plain)


def test_a_cell_holds_a_video_against_the_plain_one_and_against_its_words(toy_pipe):
    drawing = speedups.item_of(5).frames
    same = speedups.cell(toy_pipe, 5, drawing, drawing)
    assert same == {"largest": 0, "psnr": None, "as_asked": True}
    other = speedups.cell(toy_pipe, 6, drawing, np.minimum(drawing, 200))
    assert other["largest"] > 0 and other["psnr"] > 0 and not other["as_asked"]


def test_a_model_of_another_world_is_not_judged(toy_pipe, monkeypatch):
    monkeypatch.setattr(loading, "is_cartoon", lambda pipe: False)
    frames = speedups.item_of(0).frames
    assert speedups.cell(toy_pipe, 0, frames, frames)["as_asked"] is None


# --- the table


def row(seed: int, seconds: dict[str, float], wrong: tuple[str, ...] = ()) -> dict:
    found = {name: {"largest": 3, "psnr": 30.0 + seed, "as_asked": name not in wrong, "seconds": s}
             for name, s in seconds.items()}  # fmt: skip
    return {"seed": seed, "prompt": "", "found": found}


SECONDS = {PLAIN: 3.0, "bfloat16": 0.5, **{name: 2.0 for name, option in OPTIONS.items() if option.shortcuts}}


def test_the_fastest_has_shortcuts_and_is_as_good_as_the_plain_one():
    quick, quicker = "deep features at interval 3", "deep features at interval 5"
    seconds = SECONDS | {quick: 1.0, quicker: 0.9}
    assert speedups.fastest([row(seed, seconds) for seed in range(8)]) == quicker
    bad = [row(seed, seconds, wrong=(quicker,)) for seed in range(8)]
    assert speedups.fastest(bad) == quick  # and never bfloat16


def test_an_option_is_worse_only_where_a_paired_test_shows_it():
    quick = "deep features at interval 5"
    lost = [row(seed, SECONDS, wrong=(quick,) if seed < 6 else ()) for seed in range(12)]
    assert speedups.worse(lost, quick) and not speedups.worse(lost[1:], quick)  # 2 / 2**6 = 0.03, 2 / 2**5 = 0.06
    won = [row(seed, SECONDS, wrong=(PLAIN,)) for seed in range(12)]
    assert not speedups.worse(won, quick)


def test_measures_are_of_the_rows_that_have_them():
    lines = [row(seed, SECONDS) for seed in range(4)]
    del lines[3]["found"]["bfloat16"]["seconds"]
    assert speedups.seconds(lines, "bfloat16").n == 3 and speedups.adherence(lines, "bfloat16").n == 4
    assert speedups.times_faster(lines, "bfloat16").value == pytest.approx(6)
    assert speedups.psnr(lines, "bfloat16").value == pytest.approx(31.5)


def test_nothing_is_chosen_where_nobody_judged():
    lines = [row(0, SECONDS)]
    lines[0]["found"][PLAIN]["as_asked"] = None
    with pytest.raises(ValueError, match="no option can be chosen"):
        speedups.fastest(lines)


def test_a_stalled_run_does_not_move_the_ratio():
    lines = [row(seed, SECONDS) for seed in range(12)]
    lines[3]["found"]["bfloat16"]["seconds"] = 60.0
    found = speedups.times_faster(lines, "bfloat16")
    assert (found.value, found.low, found.high) == pytest.approx((6, 6, 6))


def test_no_adherence_where_nobody_judged_and_no_psnr_where_all_are_equal():
    lines = [row(0, SECONDS)]
    lines[0]["found"][PLAIN] |= {"as_asked": None, "psnr": None}
    assert speedups.adherence(lines, PLAIN) is None and speedups.psnr(lines, PLAIN) is None


def test_an_option_that_the_table_lacks_is_refused():
    with pytest.raises(ValueError, match="the table has no 'warp' in found: it has as it is, bfloat16"):
        speedups.adherence([row(0, SECONDS)], "warp")


def test_the_table_is_made_seed_by_seed_and_only_the_first_are_timed(toy_pipe, toy_folder, monkeypatch):
    few = {name: speedups.replace(OPTIONS[name], steps=2) for name in (PLAIN, "Conv3d as Conv2d", "6 steps")}
    monkeypatch.setattr(speedups, "OPTIONS", few)
    monkeypatch.setattr(speedups, "TIMED", 1)
    asked = []
    monkeypatch.setattr(speedups, "alone", lambda *words: asked.append(words) or {"first": 1.0, "peak_mib": 2.0})
    toy_pipe.model_name = "toy"
    first, second = speedups.line(toy_pipe, 0), speedups.line(toy_pipe, 1)
    assert asked == [(str(toy_folder), "cpu", name) for name in few]  # the folder, not its last name
    assert set(first["found"]) == set(few) and set(second["found"]) == {PLAIN, "6 steps"}
    assert all({"seconds", "first", "peak_mib"} <= cell.keys() for cell in first["found"].values())
    assert not any({"seconds", "first"} & cell.keys() for cell in second["found"].values())
    assert speedups.STUDY.head(toy_pipe)["model"] == "toy"
    assert "6 steps" in speedups.text([first, second])


def test_a_part_of_the_table_is_its_head_and_the_rows_asked_for():
    lines = speedups.STUDY.load()
    head, rule, *rows = speedups.text(lines, [PLAIN, "10 steps"]).split("\n")
    assert head.startswith("| option") and [row.split(" | ")[0] for row in rows] == ["| as it is", "| 10 steps"]
    assert speedups.pairs(lines, "10 steps").summary in rows[1]


def test_options_know_their_family_and_their_numbers():
    known = {name: (option.family, option.numbers) for name, option in OPTIONS.items()}
    assert known["deep features at interval 3"] == ("deep features", "3")
    assert known["guidance down to timestep 500"] == ("guidance", "500")
    assert known["deep features at interval 5, guidance down to timestep 500"] == ("both", "5, 500")
    assert known["10 steps"] == ("steps", "10") and known["bfloat16"] == ("bfloat16", "")


class Alone(torch.nn.Module):
    """A function as a module without parts, to be traced."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self):
        return self.call()


@torch.no_grad()
def test_the_last_layers_share_is_what_it_computes(toy_pipe):
    net = unet.from_diffusers(toy_pipe.unet)
    x, text = unet_speed.step_inputs(toy_pipe.unet, 2)
    _, deep = feature_reuse.all_layers(net, x, 500, text)
    ways = lambda: net(x, 500, text), lambda: feature_reuse.last_layer(net, x, 500, text, deep)
    whole, last = (tracing.trace(Alone(way)).total.flops for way in ways)
    assert speedups.last_layer_share(toy_pipe.components, 2) == pytest.approx(last / whole, rel=0.1)
    assert 0 < speedups.last_layer_share(toy_pipe.components, 2, "bytes") < 1


def test_the_committed_table_has_every_option():
    lines = speedups.STUDY.load()
    assert list(lines[0]["found"]) == list(OPTIONS)
    largest = [max(one["found"][name]["largest"] for one in lines if name in one["found"])
               for name in ("the course's UNet", "6 steps")]  # fmt: skip
    assert largest[0] <= 1 < largest[1]


def test_the_chosen_shortcuts_are_those_of_the_table_and_twice_as_fast():
    lines = speedups.STUDY.load()
    name = speedups.fastest(lines)
    assert OPTIONS[name].shortcuts == feature_reuse.CHOSEN
    assert speedups.times_faster(lines, name).low >= 2


# --- an option alone


def test_an_option_alone_has_a_first_video_and_a_memory(toy_folder, monkeypatch, capsys):
    """In this Python, since another one takes long to start: that `in_new_python` does start it is tested there."""

    def here(code: str, *words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["-c", *words])
        exec(code, {})  # the study's own
        return capsys.readouterr().out

    monkeypatch.setattr(speedups, "in_new_python", here)
    monkeypatch.setattr(speedups, "spec_of", lambda seed, steps=25: SPEC)
    monkeypatch.setattr(speedups, "OPTIONS", {PLAIN: speedups.replace(OPTIONS[PLAIN], steps=2)})
    found = speedups.alone(str(toy_folder), "cpu", PLAIN)
    assert found["first"] > 0 and found["peak_mib"] > 50
