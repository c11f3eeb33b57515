"""LoRA: equal to its equation and to peft, reversible; another model's file is refused before anything changes."""

import json
import math
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from t2v_helpers.core import files
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading, lora, validation


@pytest.fixture
def pipe(toy_folder):
    """A toy pipeline of its own for each test."""
    return loading.load(toy_folder, device="cpu", dtype="float32")


@pytest.fixture
def taught(pipe):
    """The toy with a LoRA that does something."""
    fill(lora.add(pipe, rank=2, alpha=3))
    return pipe


def fill(parameters, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for p in parameters:
        p.data = torch.randn(p.shape, generator=generator) / 4


@torch.no_grad()
def noise_pred(pipe):
    generator = torch.Generator().manual_seed(0)
    x, text = torch.randn(1, 8, 2, 4, 4, generator=generator), torch.randn(1, 24, 32, generator=generator)
    return pipe.unet(x, 500, text).sample  # [1 c f h w]


def far(a, b):
    return (a - b).abs().max() > 1e-3


def test_a_layer_computes_the_equation(taught):
    layer = next(iter(lora.added(taught.unet).values()))
    a, b, w = layer.lora_A["lora"].weight, layer.lora_B["lora"].weight, layer.get_base_layer().weight
    x = torch.randn(5, w.shape[1])
    torch.testing.assert_close(layer(x), F.linear(x, w + 3 / 2 * b @ a, layer.get_base_layer().bias))


def test_it_begins_as_no_change_and_freezes_the_rest(pipe):
    before = noise_pred(pipe)
    parameters = lora.add(pipe, rank=3)
    torch.testing.assert_close(noise_pred(pipe), before, atol=1e-5, rtol=0)
    layers = lora.added(pipe.unet).values()
    assert sum(p.numel() for p in parameters) == sum(3 * sum(m.get_base_layer().weight.shape) for m in layers)
    assert [p for p in pipe.unet.parameters() if p.requires_grad] == parameters


def test_a_seed_draws_the_same_a_and_leaves_the_global_generator_alone(pipe):
    torch.manual_seed(5)
    state, drawn = torch.get_rng_state(), []
    for seed in (0, 0, 1):
        drawn.append(torch.cat([p.flatten() for p in lora.add(pipe, seed=seed)]))
        lora.remove(pipe)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_only_spatial_transformers_match_by_default(pipe):
    names = list(lora.matching(pipe.unet))
    assert names and all(".attentions." in name and "temp" not in name for name in names)
    assert list(lora.matching(pipe.unet, r".*\.proj_in"))


def test_remove_gives_the_model_back(taught, toy_pipe):
    before = noise_pred(toy_pipe)
    taught.new_words = ("sepia",)
    assert far(noise_pred(taught), before)
    lora.remove(taught)
    torch.testing.assert_close(noise_pred(taught), before, atol=1e-5, rtol=0)
    assert lora.added(taught.unet) == {} and taught.new_words == ()
    lora.add(taught)  # and another may come


def test_merged_is_unmerged(taught):
    before = noise_pred(taught)
    lora.merge(taught)
    assert lora.added(taught.unet) == {}
    torch.testing.assert_close(noise_pred(taught), before, atol=1e-5, rtol=0)


def test_the_scale_is_linear_in_the_weights_and_comes_back(taught, toy_pipe):
    untouched, before = noise_pred(toy_pipe), noise_pred(taught)
    with lora.scaled(taught, 0):
        torch.testing.assert_close(noise_pred(taught), untouched, atol=1e-5, rtol=0)
    with pytest.raises(KeyError), lora.scaled(taught, 0.5):
        assert far(noise_pred(taught), untouched) and far(noise_pred(taught), before)
        raise KeyError
    assert torch.equal(noise_pred(taught), before)


def test_a_half_precision_base_keeps_a_and_b_in_float32(toy_folder):
    pipe = loading.load(toy_folder, device="cpu", dtype="bfloat16")
    assert {p.dtype for p in lora.add(pipe)} == {torch.float32}
    assert (
        pipe.unet(torch.randn(1, 8, 2, 4, 4).bfloat16(), 5, torch.randn(1, 24, 32).bfloat16()).sample.isfinite().all()
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rank", [0, -1, 1.5, True, None, "4", 9]),
        ("alpha", [0, -1, math.inf, math.nan, "4", True]),
        ("seed", [-1, 2**32, 1.5, None, True]),
        ("layers", ["nothing", "(", None]),
    ],
)
def test_add_refuses(toy_pipe, name, values):
    for value in values:
        with pytest.raises(ValueError, match=re.escape(f"{name}={value!r}")):
            lora.add(toy_pipe, **{name: value})
    assert lora.added(toy_pipe.unet) == {}


def test_a_rank_above_the_layer_names_the_largest_and_no_match_a_name(toy_pipe):
    with pytest.raises(ValueError, match="use 1 to 8"):
        lora.add(toy_pipe, 9)
    with pytest.raises(ValueError, match="time_embedding"):
        lora.add(toy_pipe, layers="nothing")


@pytest.mark.parametrize("call", [lora.add, lora.remove, lora.merge, lambda pipe: lora.scaled(pipe, 0.5).__enter__(),
                                  lambda pipe: lora.save(pipe, "x"), lambda pipe: lora.load(pipe, "x")])  # fmt: skip
def test_each_function_needs_a_pipeline(call):
    with pytest.raises(ValueError, match="pipe is of type NoneType"):
        call(None)


@pytest.mark.parametrize("call", [lora.remove, lora.merge, lambda pipe: lora.save(pipe, "x")])
def test_most_functions_need_a_lora(toy_pipe, call):
    with pytest.raises(ValueError, match="has no LoRA"):
        call(toy_pipe)


def test_a_second_lora_is_refused(taught):
    with pytest.raises(ValueError, match="has a LoRA already"):
        lora.add(taught)


def test_a_scale_that_is_not_a_number_is_refused(taught):
    for scale in (math.nan, math.inf, "1", None, True):
        with pytest.raises(ValueError, match=f"scale={scale!r}"), lora.scaled(taught, scale):
            pass


# --- on the disk


@pytest.fixture(scope="module")
def saved(toy_folder, tmp_path_factory):
    """The folder of a LoRA like that of `taught`, and what its UNet predicts."""
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    fill(lora.add(pipe, rank=2, alpha=3))
    return lora.save(pipe, tmp_path_factory.mktemp("lora") / "sepia", ["sepia"]), noise_pred(pipe)


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the saved LoRA that a test may damage."""
    return shutil.copytree(saved[0], tmp_path / "sepia")


def test_what_was_saved_comes_back_bit_for_bit(pipe, saved):
    assert lora.load(pipe, saved[0]) == ("sepia",) == pipe.new_words
    assert torch.equal(noise_pred(pipe), saved[1])


def test_peft_opens_the_folder_without_a_line_of_ours(pipe, saved):
    pipe.unet = PeftModel.from_pretrained(pipe.unet, saved[0])
    torch.testing.assert_close(noise_pred(pipe), saved[1])


def test_a_base_in_half_precision_or_under_another_name_is_the_same_base(folder, toy_folder):
    other = loading.load(toy_folder, device="cpu", dtype="bfloat16")
    other.model_name = "a copy"
    assert lora.load(other, folder) == ("sepia",)


def test_words_that_were_taught_are_no_longer_unknown(pipe, folder, recwarn):
    spec = GenerationSpec("a dog is dancing in sepia", steps=1, frames=1)
    with pytest.warns(UserWarning, match="unknown.*: sepia"):
        validation.check(pipe, spec)
    lora.load(pipe, folder)
    recwarn.clear()
    validation.check(pipe, spec)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="unknown.*: zebra.* sepia"):
        validation.check_prompt(pipe, "a zebra in sepia")


def test_saving_again_replaces_the_old_one(taught, folder):
    fill([p for p in taught.unet.parameters() if p.requires_grad], seed=2)
    lora.save(taught, folder, ["sepia"])
    written = load_file(folder / lora.WEIGHTS)
    assert all(torch.equal(x, written[key]) for key, x in lora.tensors(taught.unet).items())


def test_another_folder_is_not_replaced(taught, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="adapter_config.json"):
        lora.save(taught, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_the_old_folder(taught, folder, monkeypatch):
    before = (folder / lora.WEIGHTS).read_bytes()
    monkeypatch.setattr(lora, "save_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        lora.save(taught, folder)
    assert (folder / lora.WEIGHTS).read_bytes() == before and len(list(folder.parent.iterdir())) == 1


@pytest.mark.parametrize("words", ["sepia", 5, [5], None])
def test_words_that_are_not_a_list_of_words_are_refused(taught, tmp_path, words):
    with pytest.raises(ValueError, match=re.escape(f"words={words!r}")):
        lora.save(taught, tmp_path / "a", words)
    assert not (tmp_path / "a").exists()


def assert_refused(pipe, folder, match, error=ValueError):
    """Loading is refused, and the pipeline is not touched."""
    with pytest.raises(error, match=match):
        lora.load(pipe, folder)
    assert lora.added(pipe.unet) == {} and not getattr(pipe, "new_words", ())


def test_a_lora_of_another_training_is_refused(pipe, folder):
    for p in pipe.unet.parameters():
        p.data.mul_(1.05)
    pipe.model_name = "other"
    assert_refused(pipe, folder, r"'toy', .* 'other' \(its weights are others\)")


def test_a_lora_of_another_architecture_is_refused(folder, hub_pipe):
    assert_refused(hub_pipe, folder, r"'toy', .*\((it has no layer|its weights are others)")


def test_a_layer_that_the_model_does_not_have_is_named(toy_pipe, folder):
    change(folder, target_modules=["nowhere.to_q"])
    assert_refused(toy_pipe, folder, "it has no layer nowhere.to_q")


def test_no_folder_and_no_lora_are_refused(toy_pipe, tmp_path, toy_folder):
    assert_refused(toy_pipe, tmp_path / "none", "none is not a folder", FileNotFoundError)
    assert_refused(toy_pipe, toy_folder, "adapter_config.json is missing")


def change(folder, **values):
    path = folder / lora.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    files.write_manifest(folder)


def test_a_damaged_file_is_refused(toy_pipe, folder):
    path = folder / lora.WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(toy_pipe, folder, "adapter_model.safetensors has .* bytes")


def test_weights_that_are_no_safetensors_are_refused(toy_pipe, folder):
    (folder / lora.WEIGHTS).write_bytes(b"not a tensor")
    files.write_manifest(folder)
    assert_refused(toy_pipe, folder, "is cut short or damaged")


def test_weights_that_do_not_name_their_model_are_refused(toy_pipe, folder):
    save_file(load_file(folder / lora.WEIGHTS), folder / lora.WEIGHTS)
    files.write_manifest(folder)
    assert_refused(toy_pipe, folder, "does not say for which model it was made")


@pytest.mark.parametrize(
    ("key", "text", "word"),
    [
        ("words", "{", "words in its header"),
        ("words", '"sepia"', "words in its header"),
        ("words", "[5]", "words in its header"),
        ("base_norms", "5", "base_norms in its header"),
        ("base_norms", "[null]", "base_norms in its header"),
        ("base_norms", "[]", "its weights are others"),
    ],
)
def test_a_header_without_its_lists_is_refused(toy_pipe, folder, key, text, word):
    rewrite(folder, lambda x: x, **{key: text})
    assert_refused(toy_pipe, folder, word)


def test_numbers_that_are_not_finite_are_refused(toy_pipe, folder):
    rewrite(folder, lambda x: x * math.nan)
    assert_refused(toy_pipe, folder, "holds NaN or infinity")


def rewrite(folder, change, **about):
    """Write the weights again, with `change` applied, and with `about` in their header."""
    with safe_open(str(folder / lora.WEIGHTS), "pt") as file:
        about = file.metadata() | about
    weights = {key: change(x) for key, x in load_file(str(folder / lora.WEIGHTS)).items()}
    save_file(weights, str(folder / lora.WEIGHTS), metadata=about)
    files.write_manifest(folder)


@pytest.mark.parametrize(
    "values",
    [{"peft_type": "IA3"}, {"target_modules": "to_q"}, {"target_modules": []}, {"target_modules": [5]}],
)
def test_a_config_of_something_else_is_refused(toy_pipe, folder, values):
    change(folder, **values)
    assert_refused(toy_pipe, folder, "adapter_config.json is not a LoRA")


def test_a_config_with_another_rank_is_refused(toy_pipe, folder):
    change(folder, r=1)
    assert_refused(toy_pipe, folder, "adapter_config.json .* has shape")
