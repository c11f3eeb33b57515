"""LoRA: equal to its equation and to peft, reversible; a file of another model is refused before anything changes."""

import json
import math

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


def test_a_seed_draws_the_same_a_and_leaves_the_global_generator_alone(toy_folder):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, third = (loading.load(toy_folder, device="cpu", dtype="float32") for _ in range(3))
    drawn = [torch.cat([p.flatten() for p in lora.add(p_, seed=s)]) for p_, s in ((first, 0), (second, 0), (third, 1))]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_only_spatial_transformers_are_met_unless_told(pipe):
    names = list(lora.matching(pipe.unet))
    assert names and all(".attentions." in name and "temp" not in name for name in names)
    assert list(lora.matching(pipe.unet, r".*\.proj_in"))


def test_remove_gives_the_model_back(taught, toy_folder):
    before = noise_pred(loading.load(toy_folder, device="cpu", dtype="float32"))
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


def test_the_scale_is_linear_in_the_weights_and_comes_back(taught, toy_folder):
    untouched = noise_pred(loading.load(toy_folder, device="cpu", dtype="float32"))
    before = noise_pred(taught)
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


@pytest.mark.parametrize("rank", [0, -1, 1.5, True, None, "4"])
def test_a_rank_below_1_or_not_whole_is_refused(pipe, rank):
    with pytest.raises(ValueError, match="rank=.* use a whole number, 1 or more"):
        lora.add(pipe, rank)
    assert lora.added(pipe.unet) == {}


def test_a_rank_above_the_layer_is_refused(pipe):
    with pytest.raises(ValueError, match="rank=9 is above 8, the smaller side of .*: use 1 to 8"):
        lora.add(pipe, 9)


@pytest.mark.parametrize("alpha", [0, -1, math.inf, math.nan, "4", True])
def test_an_alpha_that_is_no_number_above_0_is_refused(pipe, alpha):
    with pytest.raises(ValueError, match="alpha=.* use a number above 0"):
        lora.add(pipe, 2, alpha)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, True])
def test_a_seed_that_is_none_is_refused(pipe, seed):
    with pytest.raises(ValueError, match="seed=.* is not allowed: use a whole number from 0 to 4294967295"):
        lora.add(pipe, seed=seed)
    assert lora.added(pipe.unet) == {}


@pytest.mark.parametrize("call", [lora.add, lora.remove, lora.merge, lambda pipe: lora.scaled(pipe, 0.5).__enter__(),
                                  lambda pipe: lora.save(pipe, "x"), lambda pipe: lora.load(pipe, "x")])  # fmt: skip
def test_without_a_pipeline_there_is_nothing_to_do(call):
    with pytest.raises(ValueError, match=r"pipe is a NoneType: give a pipeline, such as models\.load"):
        call(None)


def test_layers_that_match_nothing_are_refused(pipe):
    with pytest.raises(ValueError, match="layers='nothing' matches no linear layer: their names are as .*"):
        lora.add(pipe, layers="nothing")
    with pytest.raises(ValueError, match=r"layers='\(' is no regular expression"):
        lora.add(pipe, layers="(")


def test_a_second_lora_is_refused(taught):
    with pytest.raises(ValueError, match="has a LoRA already"):
        lora.add(taught)


@pytest.mark.parametrize("call", [lora.remove, lora.merge, lambda pipe: lora.save(pipe, "x")])
def test_without_a_lora_there_is_nothing_to_do(toy_pipe, call):
    with pytest.raises(ValueError, match="has no LoRA: make one with"):
        call(toy_pipe)


@pytest.mark.parametrize("scale", [math.nan, math.inf, "1", None, True])
def test_a_scale_that_is_no_number_is_refused(taught, scale):
    with pytest.raises(ValueError, match="scale=.* is not allowed"), lora.scaled(taught, scale):
        pass


# --- on the disk


@pytest.fixture
def folder(taught, tmp_path):
    return lora.save(taught, tmp_path / "sepia", ["sepia"])


def test_what_was_saved_comes_back_bit_for_bit(taught, folder, toy_folder):
    other = loading.load(toy_folder, device="cpu", dtype="float32")
    assert lora.load(other, folder) == ("sepia",) == other.new_words
    assert torch.equal(noise_pred(other), noise_pred(taught))


def test_peft_opens_the_folder_without_a_line_of_ours(taught, folder, toy_folder):
    other = loading.load(toy_folder, device="cpu", dtype="float32")
    other.unet = PeftModel.from_pretrained(other.unet, folder)
    torch.testing.assert_close(noise_pred(other), noise_pred(taught))


def test_a_base_in_half_precision_or_under_another_name_is_the_same_base(folder, toy_folder):
    other = loading.load(toy_folder, device="cpu", dtype="bfloat16")
    other.model_name = "a copy"
    assert lora.load(other, folder) == ("sepia",)


def test_words_that_were_taught_are_no_longer_unknown(folder, toy_folder, recwarn):
    other = loading.load(toy_folder, device="cpu", dtype="float32")
    spec = GenerationSpec("a dog is dancing in sepia", steps=1, frames=1)
    with pytest.warns(UserWarning, match="words unknown to this model: sepia"):
        validation.check(other, spec)
    lora.load(other, folder)
    recwarn.clear()
    validation.check(other, spec)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="unknown to this model: zebra; it knows .*, sepia"):
        validation.check_prompt(other, "a zebra in sepia")


def test_saving_again_replaces_the_old_one(taught, folder):
    fill([p for p in taught.unet.parameters() if p.requires_grad], seed=2)
    lora.save(taught, folder, ["sepia"])
    written = load_file(folder / lora.WEIGHTS)
    assert all(torch.equal(x, written[key]) for key, x in lora.tensors(taught.unet).items())


def test_another_folder_is_not_replaced(taught, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds files, but no LoRA"):
        lora.save(taught, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_failed_save_leaves_the_old_folder(taught, folder, monkeypatch):
    before = (folder / lora.WEIGHTS).read_bytes()
    monkeypatch.setattr(lora, "save_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        lora.save(taught, folder)
    assert (folder / lora.WEIGHTS).read_bytes() == before and len(list(folder.parent.iterdir())) == 1


def test_words_are_a_list(taught, tmp_path):
    with pytest.raises(ValueError, match="words='sepia' is a text"):
        lora.save(taught, tmp_path / "x", "sepia")


def assert_refused(pipe, folder, match, error=ValueError):
    """Loading is refused, and the pipeline is not touched."""
    with pytest.raises(error, match=match):
        lora.load(pipe, folder)
    assert lora.added(pipe.unet) == {} and not getattr(pipe, "new_words", ())


def test_a_lora_of_another_training_is_refused(pipe, toy_folder, tmp_path):
    fill(lora.add(pipe))
    folder = lora.save(pipe, tmp_path / "a")
    other = loading.load(toy_folder, device="cpu", dtype="float32")
    for p in other.unet.parameters():
        p.data.mul_(1.05)
    other.model_name = "other"
    assert_refused(other, folder, r"was made for 'toy', and this is 'other' \(its weights are others\)")


def test_a_lora_of_another_architecture_is_refused(folder, hub_pipe):
    assert_refused(hub_pipe, folder, r"was made for 'toy', and this is .* \((it has no layer|its weights are others)")


def test_a_layer_that_the_model_does_not_have_is_named(fresh, folder):
    change(folder, target_modules=["nowhere.to_q"])
    assert_refused(fresh, folder, "it has no layer nowhere.to_q")


def test_no_folder_and_no_lora_are_refused(pipe, tmp_path, toy_folder):
    assert_refused(pipe, tmp_path / "none", "is no folder: give a folder that lora.save has written", FileNotFoundError)
    assert_refused(pipe, toy_folder, "is no LoRA, adapter_config.json is missing")


@pytest.fixture
def fresh(toy_folder):
    return loading.load(toy_folder, device="cpu", dtype="float32")


def change(folder, **values):
    path = folder / lora.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    files.write_manifest(folder)


def test_a_damaged_file_is_refused(fresh, folder):
    path = folder / lora.WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(fresh, folder, "adapter_model.safetensors has .* bytes")


def test_weights_that_are_no_safetensors_are_refused(fresh, folder):
    (folder / lora.WEIGHTS).write_bytes(b"not a tensor")
    files.write_manifest(folder)
    assert_refused(fresh, folder, "is cut short or damaged")


def test_weights_that_do_not_name_their_model_are_refused(fresh, folder):
    save_file(load_file(folder / lora.WEIGHTS), folder / lora.WEIGHTS)
    files.write_manifest(folder)
    assert_refused(fresh, folder, "does not say for which model it was made")


@pytest.mark.parametrize(
    ("key", "text", "word"),
    [
        ("words", "{", "has no list under words in its header"),
        ("words", '"sepia"', "has no list under words in its header"),
        ("words", "[5]", "has no list under words in its header"),
        ("base_norms", "5", "has no list under base_norms in its header"),
        ("base_norms", "[null]", "has no list under base_norms in its header"),
        ("base_norms", "[]", "its weights are others"),
    ],
)
def test_a_header_without_its_lists_is_refused(fresh, folder, key, text, word):
    rewrite(folder, lambda x: x, **{key: text})
    assert_refused(fresh, folder, word)


def test_numbers_that_are_not_finite_are_refused(fresh, folder):
    rewrite(folder, lambda x: x * math.nan)
    assert_refused(fresh, folder, "does not fit its .* holds NaN or infinity.*: give a folder")


def rewrite(folder, change, **about):
    """The weights again, changed, and what their header says."""
    with safe_open(str(folder / lora.WEIGHTS), "pt") as file:
        about = file.metadata() | about
    weights = {key: change(x) for key, x in load_file(str(folder / lora.WEIGHTS)).items()}
    save_file(weights, str(folder / lora.WEIGHTS), metadata=about)
    files.write_manifest(folder)


@pytest.mark.parametrize("words", [5, [5], None])
def test_words_that_are_no_texts_are_refused(taught, tmp_path, words):
    with pytest.raises(ValueError, match="words=.* is not allowed: give a list of words"):
        lora.save(taught, tmp_path / "a", words)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "values",
    [{"peft_type": "IA3"}, {"target_modules": "to_q"}, {"target_modules": []}, {"target_modules": [5]}],
)
def test_a_config_of_something_else_is_refused(fresh, folder, values):
    change(folder, **values)
    assert_refused(fresh, folder, "is no LoRA with a list of layers")


def test_a_config_with_another_rank_is_refused(fresh, folder):
    change(folder, r=1)
    assert_refused(fresh, folder, "does not fit its adapter_config.json .* has shape")
