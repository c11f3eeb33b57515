"""Bad input: one sentence before any computing, that says what was given, what is allowed, and what to do next.

What belongs to one module (files, seeding, records, video ...) is tested with it; here is what a learner hands to
`load`, `generate` and `save`.
"""

import re
import shutil
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from t2v_helpers import cartoon
from t2v_helpers.core import seeding
from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.machine import probe
from t2v_helpers.model import loading, validation
from t2v_helpers.model.denoising import denoise
from t2v_helpers.model.generate import generate, generate_batch, save
from t2v_helpers.model.loading import MAX_FRAMES
from t2v_helpers.model.validation import check

SPEC = GenerationSpec("a robot is dancing on the moon", steps=2, frames=2)
BAD = [
    ({"prompt": ""}, "prompt is empty"),
    ({"prompt": " \t\n\u00a0"}, "prompt is empty"),
    ({"prompt": "a dog \ud83d"}, r"^prompt .*\\ud83d"),
    ({"negative_prompt": "\udfff"}, r"negative_prompt .*\\udfff"),
    ({"prompt": "a dog " * 12}, "^prompt .*24 tokens.* 22 .*: a, dog"),
    ({"negative_prompt": "a dog " * 12}, "negative_prompt .*24 tokens.* 22 "),
    ({"scheduler": "dpm"}, "scheduler='dpm' .*did you mean 'ddpm'"),
    ({"scheduler": "none at all"}, "scheduler='none at all' .*ddim, .*dpm"),
    ({"steps": 0}, "steps=0 .*1 to 1000"),
    ({"steps": -3}, "steps=-3 .*1 to 1000"),
    ({"steps": 1001}, "steps=1001 .*1 to 1000"),
    ({"guidance": float("nan")}, "guidance=nan .*1 to 100"),
    ({"guidance": float("inf")}, "guidance=inf .*1 to 100"),
    ({"guidance": -float("inf")}, "guidance=-inf .*1 to 100"),
    ({"guidance": 0.5}, "guidance=0.5 .*1 to 100"),
    ({"guidance": 101}, "guidance=101.* 1 to 100"),
    ({"frames": 0}, "frames=0 .*1 to 200"),
    ({"frames": MAX_FRAMES + 1}, "frames=201 .*1 to 200"),
    ({"height": 0}, "height=0 .*16 to 1024"),
    ({"height": -64}, "height=-64"),
    ({"height": 60}, "height=60 .*16.*48 or 64"),
    ({"width": 72}, "width=72 .*16.*64 or 80"),
    ({"width": 8}, "width=8 .*16 to 1024"),
    ({"width": 2048}, "width=2048 .*16 to 1024"),
    ({"seed": -1}, "seed=-1"),
    ({"seed": seeding.MAX_SEED + 1}, f"seed={seeding.MAX_SEED + 1}"),
]


@pytest.mark.parametrize("change, words", BAD, ids=[re.sub(r"\W+", "_", words)[:40] for _, words in BAD])
def test_a_spec_out_of_range(no_computing, change, words):
    spec = replace(SPEC, **change)
    for ask in (check, generate, denoise, lambda pipe, spec: generate_batch(pipe, [SPEC, spec])):
        with pytest.raises(ValueError) as caught:
            ask(no_computing, spec)
        assert_one_sentence(caught.value)
        if ask is check:
            assert re.search(words, str(caught.value))


@pytest.mark.parametrize("change", [{"steps": 2.5}, {"steps": True}, {"frames": "16"}, {"guidance": "4"}, {"seed": 1.0},
                                    {"prompt": None}, {"height": 64.0}])  # fmt: skip
def test_a_spec_of_the_wrong_type(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}="):
        replace(SPEC, **change)


def test_the_size_multiple_is_the_models_own(hub_pipe):
    with pytest.raises(ValueError, match="width=96 .*64.*64 or 128"):
        check(hub_pipe, replace(SPEC, width=96))


def test_words_that_fall_off_are_named_whole_in_the_hubs_layout(hub_pipe):
    kept = " ".join(["robot"] * 74)
    assert check(hub_pipe, replace(SPEC, prompt=f"{kept} dog")).prompt.endswith("dog")
    with pytest.raises(ValueError, match="77 tokens.* 75 .*: cat, moon;"):
        check(hub_pipe, replace(SPEC, prompt=f"{kept} dog cat moon"))
    with pytest.raises(ValueError, match=": Zyzzyva;"):  # a word of many tokens, cut in the middle
        check(hub_pipe, replace(SPEC, prompt=f"{kept} Zyzzyva"))


def test_many_words_that_fall_off_are_counted(toy_pipe):
    with pytest.raises(ValueError, match=": dog(, dog){7} and 70 more;"):
        check(toy_pipe, replace(SPEC, prompt="dog " * 100))


def test_unknown_words_are_warned_of_and_legal(toy_pipe, hub_pipe):
    with pytest.warns(UserWarning, match="prompt .*unknown.*: unicorn; .* a, an, and"):
        check(toy_pipe, replace(SPEC, prompt="a unicorn is dancing"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(hub_pipe, replace(SPEC, prompt="a unicorn is dancing"))
        check(toy_pipe, SPEC)


@pytest.mark.parametrize("prompt", [
    "A monkey is riding a horse around a lake",
    "A Robot is dancing in the Times Square",
    "A cartoon of a dog dancing in Van Gogh style",
])  # fmt: skip
def test_known_sentences_pass_without_a_word(toy_pipe, prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check(toy_pipe, replace(SPEC, prompt=prompt)).prompt == prompt


def test_every_sentence_of_the_grammar_fits(toy_pipe):
    for labels in cartoon.combinations()[::7]:
        for template in range(5):
            validation.check_prompt(toy_pipe, cartoon.caption(labels, template, template, template))


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a dog\u20dd is dancing", r"U\+20DD, unseen"),
        ("a dog\u3164 is dancing", r"U\+3164, unseen"),
        ("a (dog:1.3) is dancing", r"'\(dog:1.3\)': weights of words"),
        ("a dog++ is dancing", r"'dog\+\+': weights of words"),
        ("a \uff44og is \ufb02ying", r"U\+FF44 \(type d\), U\+FB02 \(type fl\), which"),
    ],
)
def test_what_is_not_seen_or_not_read_is_warned_of(hub_pipe, prompt, said):
    with pytest.warns(UserWarning, match=said):
        check(hub_pipe, replace(SPEC, prompt=prompt))


UNSEEN = ["\0", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\x85", "\xad", "\u200b", "\u202e", "\ufeff", "\U000e0041"]


@pytest.mark.parametrize("sign", [*UNSEEN, "\u0378", "\uffff", "\ue000"], ids=ascii)
@pytest.mark.parametrize("argument", ["prompt", "negative_prompt"])
def test_a_character_that_is_no_sign_is_refused_by_its_code_point(argument, sign):
    with pytest.raises(ValueError, match=rf"^{argument} holds U\+{ord(sign):04X}, unseen"):
        validation.check_text(f"a dog{sign} is dancing", argument)


@pytest.mark.parametrize("prompt", ["\u0915\u0941\u0924\u094d\u0924\u093e", "\u0e2b\u0e21\u0e35"], ids=ascii)
def test_vowels_that_are_signs_are_seen(hub_pipe, prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.check_prompt(hub_pipe, prompt)
    with pytest.raises(ValueError, match="the cartoon model does not know"):
        validation.refuse_unknown_words(prompt)


def test_ordinary_white_space_and_letters_of_any_language_are_no_such_characters():
    for prompt in (
        "a dog\tis\r\ndancing",
        "a\xa0dog\u3000",
        "\u0939\u093f\u0928\u094d\u0926\u0940",
        "e\u0301",
        "\U0001f436",
    ):
        validation.check_text(prompt, "prompt")


@pytest.mark.parametrize("weight", [
    "(dog:1.3)", "(dog:.5)", "(dog:-1)", "(dog :1,3)", "(a big dog: 2.)", "[dog:cat:0.5]", "dog:1.3", "dog:-1",
    "(dog)1.3", "dog :1.3", "dog*1.3", "dog^1.3", "(dog)^1.3", "(dog)*2", "(dog;1.3)", "(dog|1.3)", "(dog:1e1)",
    "(dog: 130%)", "dog::2", "dog++", "dog--", "(dog)+", "(dog)--", "[dog]", "[dog|cat]", "((dog))", "{dog}",
])  # fmt: skip
def test_a_weight_of_a_word_is_called_so_however_it_is_written(weight):
    with pytest.raises(ValueError) as caught:
        validation.refuse_unknown_words(f"a {weight} is dancing")
    assert str(caught.value).startswith(f"{weight!r} is not allowed: weights of words")


@pytest.mark.parametrize("prompt", [
    "at 10:30", "a film in 16:9", "(it is 10:30)", "cast: 2 dogs", "a scene:3d", "a dog (1.5)", "a happy dog :3",
    "3 km^2", "a C++ book", "a dog--no cat--is dancing", "a dog -- small", "a dog: 1.5 metres", "5*3", "(brown)-haired",
    "(18)+", "a *small* dog", "a garden (after Monet; 1890)", "blade runner:2049", "(Paris: 1900)",
])  # fmt: skip
def test_a_time_or_a_ratio_is_no_weight(prompt):
    with pytest.raises(ValueError, match="the cartoon model does not know"):
        validation.refuse_unknown_words(prompt)


@pytest.mark.parametrize("end", ["", " ", ".", " and sits", ", then sits"])
def test_a_dash_after_an_unknown_word_is_no_weight(toy_pipe, end):
    with pytest.raises(ValueError, match="the cartoon model does not know 'dances', 'stops'"):
        validation.refuse_unknown_words(f"a dog dances and stops--{end}")
    with pytest.warns(UserWarning) as told:
        validation.check_prompt(toy_pipe, f"a dog dances and stops--{end}")
    assert [str(one.message)[:32] for one in told] == ["prompt has words unknown to this"]


@pytest.mark.parametrize("end", ["", " ", ".", '"'])
def test_a_sentence_that_breaks_off_has_no_weight(hub_pipe, end):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.check_prompt(hub_pipe, f"a dog dances and stops--{end}")
    validation.refuse_unknown_words(f"a dog is dancing--{end}")


EMOJI = {
    "joined": "\U0001f469\u200d\U0001f680", "of a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "with a variation": "\u2764\ufe0f", "of both": "\U0001f3f3\ufe0f\u200d\U0001f308", "a key": "1\ufe0f\u20e3",
    "of a tone": "\U0001f44b\U0001f3fd", "a flag": "\U0001f1e9\U0001f1ea",
    "a flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
}  # fmt: skip


@pytest.mark.parametrize("emoji", EMOJI.values(), ids=EMOJI)
def test_an_emoji_of_several_characters_is_called_one(hub_pipe, emoji):
    prompt = f"a dog is dancing {emoji}"
    validation.check_text(prompt, "prompt")
    assert cartoon.unknown_words(prompt) == [emoji]
    with pytest.raises(ValueError, match=f"the cartoon model does not know the emoji {re.escape(emoji)}: it knows"):
        validation.refuse_unknown_words(prompt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.check_prompt(hub_pipe, prompt)


def test_an_emoji_of_several_characters_is_warned_of_as_one(toy_pipe):
    with pytest.warns(UserWarning, match=f"unknown to this model: the emoji {EMOJI['joined']};") as told:
        validation.check_prompt(toy_pipe, f"a dog is dancing {EMOJI['joined']}")
    assert len(told) == 1


@pytest.mark.parametrize("text", ["do\u200dg", "\u200d\U0001f680", "\U0001f469\u200d", "\u2764\u200d\u200d\U0001f680"])
def test_what_joins_no_two_pictures_is_unseen(text):
    with pytest.raises(ValueError, match=r"prompt holds U\+200D, unseen in print"):
        validation.check_text(f"a dog {text}", "prompt")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dog\u0301", r"U\+01F5 \(type g\)"),
        ("\uff44og", r"U\+FF44 \(type d\)"),
        ("\ufb02ying", r"U\+FB02 \(type fl\)"),
        ("d\u043eg", r"U\+043E[:;]"),
    ],
    ids=ascii,
)
def test_a_letter_that_looks_like_another_is_named_and_what_to_type_instead(toy_pipe, word, said):
    with pytest.raises(ValueError, match=f"does not know .*, with {said}"):
        validation.refuse_unknown_words(f"a {word} is dancing")
    with pytest.warns(UserWarning, match=f"unknown to this model: .*, with {said}"):
        validation.check_prompt(toy_pipe, f"a {word} is dancing")


def test_an_accent_that_joins_its_letter_is_read_as_that_letter(hub_pipe, toy_pipe):
    for pipe in (hub_pipe, toy_pipe):
        assert pipe.tokenizer("cafe\u0301").input_ids == pipe.tokenizer("caf\xe9").input_ids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.check_prompt(hub_pipe, "a cafe\u0301 and a dog, 20 m\xb2")


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=120)  # lone surrogates and unassigned points, too


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=ANY_TEXT, negative=ANY_TEXT)
@example("<|endoftext|>", "<|startoftext|>")
@example("\x00", "\x1c\x1d\x85")
@example("a\u2028b " * 20, "e\u0301" * 40)
@example("\U0001f469\u200d\U0001f680" * 9, "\u202e gninnur")
@example("d" * 20_000, "")
def test_any_text_passes_or_is_refused_in_one_sentence(no_computing, prompt, negative):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            checked = check(no_computing, replace(SPEC, prompt=prompt, negative_prompt=negative))
        except ValueError as error:
            assert_one_sentence(error)
        else:
            assert checked.prompt == prompt and checked.negative_prompt == negative


@settings(max_examples=15, deadline=None)
@given(prompt=ANY_TEXT)
@example("<|endoftext|> <|startoftext|>")
@example("\u0130\ufb01")
def test_any_text_that_passes_can_be_made(toy_pipe, prompt):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            spec = check(toy_pipe, replace(SPEC, prompt=prompt, steps=1, frames=1, height=16, width=16))
        except ValueError:
            return
        made = generate(toy_pipe, spec)
    assert made.frames.shape == (1, 16, 16, 3)
    assert GenerationRecord.from_json(made.record.to_json()) == made.record


@settings(max_examples=200, deadline=None)
@given(numbers=st.fixed_dictionaries({}, optional={
    "steps": st.integers(), "frames": st.integers(), "height": st.integers(), "width": st.integers(),
    "seed": st.integers(), "guidance": st.floats() | st.integers(), "scheduler": st.text(max_size=9),
}))  # fmt: skip
def test_any_numbers_pass_or_are_refused_in_one_sentence(toy_pipe, numbers):
    try:
        check(toy_pipe, replace(SPEC, **numbers))
    except ValueError as error:
        assert_one_sentence(error)


def assert_one_sentence(error):
    text = str(error)
    assert type(error) is ValueError and text == text.strip() and len(text) < 1000
    assert len(text.splitlines()) == 1, "a sentence has one line"


def test_an_empty_batch(toy_pipe):
    with pytest.raises(ValueError, match="specs is empty"):
        generate_batch(toy_pipe, [])


def test_a_batch_of_no_size(toy_pipe):
    with pytest.raises(ValueError, match="batch_size=0"):
        generate_batch(toy_pipe, [SPEC], batch_size=0)


@pytest.mark.parametrize("change", [{"steps": 3}, {"guidance": 2.0}, {"frames": 3}, {"scheduler": "lms"}])
def test_a_batch_of_unlike_specs(no_computing, change):
    with pytest.raises(ValueError, match=f"specs .*{next(iter(change))}"):
        generate_batch(no_computing, [SPEC, replace(SPEC, **change)])


def test_none_and_the_default_are_alike(toy_pipe):
    made = generate_batch(toy_pipe, [SPEC, replace(SPEC, guidance=4.0, height=64, seed=1)])
    assert len(made) == 2


def test_too_little_memory_for_what_is_asked(no_computing, monkeypatch):
    monkeypatch.setattr(probe, "memory_bytes", lambda: (2**30, 2**30))
    with pytest.raises(MemoryError, match="frames=200 of 1024x1024 .*batch of 1 .* GiB .*1.0 "):
        check(no_computing, replace(SPEC, frames=200, height=1024, width=1024))


def test_memory_that_runs_out_on_the_way(toy_pipe):
    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = toy_pipe.unet.register_forward_pre_hook(run_out)
    with pytest.raises(MemoryError, match="cpu ran out of memory.*fewer or smaller frames"):
        generate(toy_pipe, SPEC)
    hook.remove()


@pytest.mark.parametrize("prompt", [None, 3, ["a dog"], b"a dog"])
def test_a_prompt_that_is_no_text(toy_pipe, prompt):
    with pytest.raises(ValueError, match="prompt=.*text"):
        validation.check_prompt(toy_pipe, prompt)


def test_a_gpu_without_kernels_is_named(toy_pipe, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("HIP error: invalid device function\nHIP kernel errors might be reported later")

    monkeypatch.setattr(probe, "look_at_torch", lambda: probe.TorchFacts("ROCm 7.2", count=1, gfx="gfx1103"))
    monkeypatch.setattr(toy_pipe.unet, "forward", fail)
    with pytest.raises(ValueError, match="no kernels for gfx1103: .*cpu") as caught:
        generate(toy_pipe, SPEC)
    assert "\n" not in str(caught.value)


def test_an_error_that_says_enough_is_left_alone(toy_pipe, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(toy_pipe.unet, "forward", fail)
    with pytest.raises(RuntimeError, match="^shapes do not match$"):
        generate(toy_pipe, SPEC)


def test_a_model_that_gives_nan_is_refused(toy_folder):
    pipe = loading.load(toy_folder, device="cpu", dtype="float32")
    with torch.no_grad():
        pipe.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="first step in float32 on cpu .*NaN"):
        generate(pipe, SPEC)


@pytest.mark.parametrize("name, words", [
    ("cartoons", "model='cartoons' .*did you mean 'cartoon'"),
    ("ModelScope2", "did you mean 'modelscope'"),
    ("sora", "model='sora' .*'cartoon', 'modelscope' or .*folder"),
    ("", "model='' .*use"),
])  # fmt: skip
def test_an_unknown_model(name, words):
    with pytest.raises(ValueError, match=words):
        loading.load(name)


@pytest.mark.parametrize("given", ["no/such/folder", "no\\such"])
def test_a_folder_that_is_not_there(given):
    with pytest.raises(FileNotFoundError, match="such.* folder.*model_index.json"):
        loading.load(given)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"\bfile\b.*folder"):
        loading.load(tmp_path / "file")


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:1"])
def test_an_unknown_device(toy_folder, device):
    with pytest.raises(ValueError, match=f"device='{device}'"):
        loading.load(toy_folder, device=device)


def test_an_unknown_dtype(toy_folder):
    with pytest.raises(ValueError, match="dtype='float8'"):
        loading.load(toy_folder, dtype="float8")


def test_a_video_is_saved_as_mp4(toy_pipe, tmp_path):
    made = generate(toy_pipe, SPEC)
    with pytest.raises(ValueError, match=r"dog\.avi.*\.mp4"):
        save(made, tmp_path / "dog.avi")
    assert list(tmp_path.iterdir()) == []


def test_nothing_half_written_stays_when_the_folder_is_a_file(toy_pipe, tmp_path):
    made = generate(toy_pipe, SPEC)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OSError, match="is a file"):
        save(made, tmp_path / "file" / "dog.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_manifest_that_lists_a_missing_file(toy_folder, tmp_path):
    folder = shutil.copytree(toy_folder, tmp_path / "copy")
    (folder / "vae" / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json is missing.*manifest"):
        loading.load(folder)
