"""LoRA: equal to its equation and to peft, reversible; another model's file is refused before anything changes."""

import json
import math
import re
import shutil

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from t2v_helpers import cartoon
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.model import loading, lora, validation
from t2v_helpers.model.folders import manifests
from t2v_helpers.model.generate import generate


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


@pytest.mark.parametrize("layers", ["(" * 5000, f"(?P<{'a-' * 5000}>x)", "a" * 5000])
def test_a_long_pattern_is_refused_in_a_short_sentence(toy_pipe, layers):
    with pytest.raises(ValueError, match="^layers=.{100,400}$"):
        lora.add(toy_pipe, layers=layers)


@pytest.mark.parametrize("dtype, said", [("float32", ""), ("bfloat16", "take another dtype.*; or ")])
def test_where_values_are_not_finite_the_advice_names_the_lora(toy_folder, dtype, said):
    pipe = loading.load(toy_folder, device="cpu", dtype=dtype)
    for p in lora.add(pipe, rank=2)[1::2]:
        p.data += 1e30
    asked = GenerationSpec("a robot is dancing", steps=1, frames=2, height=32, width=32)
    with pytest.raises(ValueError, match=f"first step in {dtype} .*: {said}scale .* 'toy with a LoRA' down") as told:
        generate(pipe, asked)
    assert said or "float32 is" not in str(told.value)
    lora.merge(pipe)
    with pytest.raises(ValueError, match="load the model without the LoRA of 'toy with a LoRA'"):
        generate(pipe, asked)


def test_a_sum_that_is_not_finite_is_not_merged(toy_folder):
    pipe = loading.load(toy_folder, device="cpu", dtype="float16")
    last = lora.add(pipe, rank=2)[-1]
    last.data += 1e30
    before = {name: x.clone() for name, x in pipe.unet.state_dict().items()}
    with pytest.raises(ValueError, match=r"not finite in float16: .*lora\.remove"):
        lora.merge(pipe)
    assert all(torch.equal(before[name], x) for name, x in pipe.unet.state_dict().items())


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
        ("rank", [0, -1, 1.5, True, None, "4", 9, 2**62, 10**30]),
        ("alpha", [0, -1, math.inf, math.nan, "4", True, 1e308, 1e-300, 2**62]),
        ("seed", [-1, 2**32, 1.5, None, True]),
        ("layers", ["nothing", "(", None, b"x", "x{9999999999}"]),
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
    for scale in (math.nan, math.inf, "1", None, True, 1e308):
        with pytest.raises(ValueError, match=re.escape(f"scale={scale!r}")), lora.scaled(taught, scale):
            pass


# --- with the embeddings of a word's pieces


def told(pipe, word="sepia"):
    """The toy's tokens of a word, to learn."""
    return list(dict.fromkeys(pipe.tokenizer.tokenize(word)))


@pytest.fixture
def spoken(pipe):
    """The toy with a LoRA and learned pieces that do something."""
    fill(lora.add(pipe, rank=2, pieces=told(pipe)))
    return pipe


@torch.no_grad()
def read(pipe, words="a dog in sepia"):
    return pipe.encode_prompt(words, "cpu", 1, False)[0]  # [1 t d]


def test_a_words_own_pieces_are_in_no_known_word():
    pipe = loading.load("cartoon", device="cpu", quiet=True)
    own = lora.own_pieces(pipe, "sepia")
    assert own and set(own) < set(pipe.tokenizer.tokenize("sepia"))
    assert not set(own) & set(pipe.tokenizer.tokenize(" ".join(cartoon.vocabulary())))
    assert lora.own_pieces(pipe, "dog") == []


def test_pieces_begin_as_no_change_and_come_last(pipe):
    before = read(pipe)
    *matrices, change = lora.add(pipe, rank=2, pieces=told(pipe))
    assert torch.equal(read(pipe), before) and change.shape == (len(told(pipe)), 32)
    assert [p for p in pipe.text_encoder.parameters() if p.requires_grad] == [change]
    assert all(p is not change for p in matrices)


def test_remove_gives_the_words_back_bit_for_bit(spoken, toy_pipe):
    assert far(read(spoken), read(toy_pipe))
    lora.remove(spoken)
    assert torch.equal(read(spoken), read(toy_pipe)) and lora.pieces(spoken) == {}
    lora.add(spoken, pieces=told(spoken))  # and others may come


def test_the_scale_is_of_the_words_too(spoken, toy_pipe):
    before = read(spoken)
    with lora.scaled(spoken, 0):
        assert torch.equal(read(spoken), read(toy_pipe))
    assert torch.equal(read(spoken), before)


def test_merged_the_words_are_read_alike(spoken):
    before = read(spoken)
    lora.merge(spoken)
    torch.testing.assert_close(read(spoken), before)
    assert lora.pieces(spoken) == {}


@pytest.mark.parametrize("pieces", ["sepia", ["nowhere"], [5], ["<|endoftext|>"], 5, None])
def test_pieces_that_are_no_tokens_are_refused(toy_pipe, pieces):
    with pytest.raises(ValueError, match="^pieces "):
        lora.add(toy_pipe, pieces=pieces)
    assert lora.added(toy_pipe.unet) == {}


def test_a_piece_that_comes_twice_is_refused(toy_pipe):
    with pytest.raises(ValueError, match="twice"):
        lora.add(toy_pipe, pieces=told(toy_pipe)[:1] * 2)


@pytest.fixture
def spoken_folder(spoken, tmp_path):
    return lora.save(spoken, tmp_path / "sepia", ["sepia"])


def test_saved_pieces_come_back_bit_for_bit(spoken, spoken_folder, toy_folder):
    other = loading.load(toy_folder, device="cpu", dtype="float32")
    lora.load(other, spoken_folder)
    assert torch.equal(read(other), read(spoken)) and torch.equal(noise_pred(other), noise_pred(spoken))


def test_without_learned_pieces_there_is_no_file_of_them(taught, tmp_path):
    assert not (lora.save(taught, tmp_path / "a") / lora.PIECES).exists()


def test_peft_opens_a_folder_with_pieces(pipe, spoken, spoken_folder):
    wanted = noise_pred(spoken)
    lora.remove(pipe)
    pipe.unet = PeftModel.from_pretrained(pipe.unet, spoken_folder)
    torch.testing.assert_close(noise_pred(pipe), wanted)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda x: {"nowhere": x}, "text encoder is another"),
        (lambda x: {"<|endoftext|>": x}, "text encoder is another"),
        (lambda x: {"s": x[:-1]}, "text encoder is another"),
        (lambda x: {"s": x * math.nan}, "s in learned_pieces.safetensors holds NaN or infinity in float32: give a"),
        (lambda x: {"s": x.to(torch.int8)}, "is I8"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(toy_pipe, spoken_folder, damage, word):
    path = spoken_folder / lora.PIECES
    with safe_open(str(path), "pt") as file:
        about = file.metadata()
    save_file(damage(next(iter(load_file(path).values()))), path, metadata=about)
    manifests.write(spoken_folder)
    assert_refused(toy_pipe, spoken_folder, word)


@pytest.mark.parametrize(
    ("norms", "word"),
    [
        ("[1e9]", "is another"),
        ("[]", "is another"),
        ("{", "must be a list"),
        ("[null]", "must be a list"),
        ("[1, 2]", "is another"),
    ],
)
def test_pieces_of_another_text_encoder_are_refused(toy_pipe, spoken_folder, norms, word):
    path = spoken_folder / lora.PIECES
    save_file(load_file(path), path, metadata={"base_norms": norms})
    manifests.write(spoken_folder)
    assert_refused(toy_pipe, spoken_folder, word)


def test_pieces_that_are_gone_or_cut_short_are_refused(toy_pipe, spoken_folder):
    path = spoken_folder / lora.PIECES
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(toy_pipe, spoken_folder, "learned_pieces.safetensors has .* bytes")
    manifests.write(spoken_folder)
    assert_refused(toy_pipe, spoken_folder, "is cut short or damaged")
    path.unlink()
    assert_refused(toy_pipe, spoken_folder, "learned_pieces.safetensors is missing", FileNotFoundError)


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a" * 41], "lists 'aaa.*', which is no word of 1 to 40"),
        (["a\x1b[31m"], "lists .*is no word"),
        ([""], "lists .*is no word"),
        ([str(n) for n in range(101)], "lists 101 words, but 100 are the most"),
    ],
)
def test_words_that_a_message_could_not_name_are_refused(taught, folder, tmp_path, toy_pipe, words, said):
    with pytest.raises(ValueError, match=f"words {said}"):
        lora.save(taught, tmp_path / "a", words)
    rewrite(folder, lambda x: x, words=json.dumps(words))
    assert_refused(toy_pipe, folder, f"adapter_model.safetensors {said}")


@pytest.mark.parametrize("words", ["sepia", 5, [5], None])
def test_words_that_are_not_a_list_of_words_are_refused(taught, tmp_path, words):
    with pytest.raises(ValueError, match=re.escape(f"words={words!r}")):
        lora.save(taught, tmp_path / "a", words)
    assert not (tmp_path / "a").exists()


def assert_refused(pipe, folder, match, error=ValueError):
    """Loading is refused, and the pipeline is not touched."""
    with pytest.raises(error, match=match):
        lora.load(pipe, folder)
    assert lora.added(pipe.unet) == {} and not getattr(pipe, "new_words", ()) and lora.pieces(pipe) == {}


def test_a_lora_of_another_training_is_refused(pipe, folder):
    for p in pipe.unet.parameters():
        p.data.mul_(1.05)
    pipe.model_name = "other"
    assert_refused(pipe, folder, r"'toy', .* 'other' \(its weights are others\)")


def test_a_lora_of_another_architecture_is_refused(folder, hub_pipe):
    assert_refused(hub_pipe, folder, r"'toy', .*\((it has no layer|its layer .* has another size)")


def test_a_layer_that_the_model_does_not_have_is_named(toy_pipe, folder):
    weights = load_file(folder / lora.WEIGHTS)
    save_file({key.replace("proj_in", "nowhere"): x for key, x in weights.items()}, folder / lora.WEIGHTS)
    manifests.write(folder)
    assert_refused(toy_pipe, folder, "it has no layer down_blocks.0.attentions.0.nowhere")


def test_no_folder_and_no_lora_are_refused(toy_pipe, tmp_path, toy_folder):
    assert_refused(toy_pipe, tmp_path / "none", "none is not a folder", FileNotFoundError)
    assert_refused(toy_pipe, toy_folder, "adapter_config.json is missing")


def change(folder, **values):
    path = folder / lora.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    manifests.write(folder)


def test_a_damaged_file_is_refused(toy_pipe, folder):
    path = folder / lora.WEIGHTS
    path.write_bytes(path.read_bytes()[:-8])
    assert_refused(toy_pipe, folder, "adapter_model.safetensors has .* bytes")


def test_weights_that_are_no_safetensors_are_refused(toy_pipe, folder):
    (folder / lora.WEIGHTS).write_bytes(b"not a tensor")
    manifests.write(folder)
    assert_refused(toy_pipe, folder, "is cut short or damaged")


@pytest.mark.parametrize(
    ("key", "text", "word"),
    [
        ("words", "{", "words in its header"),
        ("words", '"sepia"', "words in its header"),
        ("words", "[5]", "words in its header"),
        ("base_norms", "5", "base_norms in its header"),
        ("base_norms", "[null]", "base_norms in its header"),
        ("base_norms", "[]", "must list 0 layers"),
        ("base_norms", f"[{10**400}]", "base_norms in its header must be a list, each entry a number from 0 to 3.4"),
        ("base_norms", "[true]", "base_norms in its header"),
    ],
)
def test_a_header_without_its_lists_is_refused(toy_pipe, folder, key, text, word):
    rewrite(folder, lambda x: x, **{key: text})
    assert_refused(toy_pipe, folder, word)


def test_a_second_lora_is_refused_whatever_it_was_made_for(toy_pipe, folder):
    lora.load(toy_pipe, folder)
    with pytest.raises(ValueError, match="has a LoRA already"):
        lora.load(toy_pipe, folder)
    lora.remove(toy_pipe)


def test_numbers_that_are_not_finite_are_refused(toy_pipe, folder):
    rewrite(folder, lambda x: x * math.nan)
    where = r"sepia: base_model\.model\.\S+\.lora_[AB]\.weight in adapter_model\.safetensors"  # and not its config
    assert_refused(toy_pipe, folder, f"{where} holds NaN or infinity in float32: give a folder")


def rewrite(folder, change, **about):
    """Write the weights again, with `change` applied, and with `about` in their header."""
    with safe_open(str(folder / lora.WEIGHTS), "pt") as file:
        about = file.metadata() | about
    weights = {key: change(x) for key, x in load_file(str(folder / lora.WEIGHTS)).items()}
    save_file(weights, str(folder / lora.WEIGHTS), metadata=about)
    manifests.write(folder)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
        ({"target_modules": "all-linear"}, r"target_modules in adapter_config.json must list \d+ layers"),
        ({"target_modules": [5]}, "target_modules in .* must list"),
        ({"use_dora": True}, "use_dora=True is not read"),
        ({"alpha_pattern": {"to_q": 9}}, "alpha_pattern={'to_q': 9} is not read"),
        ({"rank_pattern": {"to_q": 9}}, "rank_pattern=.* is not read"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', but it must be .* others also change the weights"),
        ({"r": 1}, "adapter_config.json .* has shape"),
        ({"r": 2**62}, f"adapter_config.json: .* r={2**62}"),
        ({"r": None}, "adapter_config.json: .* r=None"),
        ({"lora_alpha": -1}, "adapter_config.json: .* lora_alpha=-1"),
    ],
)
def test_a_config_of_something_else_is_refused(toy_pipe, folder, values, word):
    change(folder, **values)
    assert_refused(toy_pipe, folder, word)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_numbers_that_mean_nothing_without_a_scale_are_refused(toy_pipe, folder, dtype):
    rewrite(folder, lambda x: x.to(dtype))
    assert_refused(toy_pipe, folder, "is (F8_E4M3|I8), and not of F16")


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["to_q", "proj_in"]},
        {"target_modules": r".*\.attn1\.to_k"},
        {"target_modules": ["to_v"], "use_rslora": True},
        {"target_modules": ["to_k"], "init_lora_weights": "gaussian"},
        {"target_modules": r"(.*to_q|conv_in|.*resnets\.0\.conv1|.*temp_convs\.0\.conv1\.2)"},
    ],
)
def test_a_folder_of_peft_predicts_what_peft_predicts(toy_folder, tmp_path, settings):
    theirs, ours = (loading.load(toy_folder, device="cpu", dtype="float32") for _ in range(2))
    theirs.unet = get_peft_model(theirs.unet, LoraConfig(r=4, lora_alpha=6, **settings))
    fill([p for p in theirs.unet.parameters() if p.requires_grad])
    theirs.unet.save_pretrained(tmp_path / "peft")
    assert lora.load(ours, tmp_path / "peft") == ()
    torch.testing.assert_close(noise_pred(ours), noise_pred(theirs))
    assert far(noise_pred(ours), noise_pred(loading.load(toy_folder, device="cpu", dtype="float32")))
    lora.merge(ours)
    torch.testing.assert_close(noise_pred(ours), noise_pred(theirs), atol=1e-5, rtol=1e-4)


def test_what_could_not_be_loaded_again_replaces_nothing(taught, folder):
    before = (folder / lora.WEIGHTS).read_bytes()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes.txt"):
        lora.save(taught, folder)
    (folder / "notes.txt").unlink()
    next(iter(lora.added(taught.unet).values())).lora_A["lora"].weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="lora_A"):
        lora.save(taught, folder)
    assert (folder / lora.WEIGHTS).read_bytes() == before
