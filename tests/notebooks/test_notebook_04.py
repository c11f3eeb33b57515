"""Notebook 04 computes what the package computes: its functions are taken out and run."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from notebook_functions import functions, nodes, source

from t2v_helpers import cartoon, metrics
from t2v_helpers.core import layout
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.inside import attention_maps
from t2v_helpers.metrics import power
from t2v_helpers.model import denoising, generate, loading, validation
from t2v_helpers.studies import knowledge
from t2v_helpers.training import stages

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_prompt_knowledge.ipynb"
PROMPT = "a dog is dancing in times square"


def namespace(**names) -> dict:
    """The notebook's functions, and the names that they look up."""
    here = {"np": np, "torch": torch, "GenerationSpec": GenerationSpec, "STEPS": 8, "FRAMES": 8, "IS_CARTOON": True}
    for module in (
        attention_maps,
        cartoon,
        denoising,
        generate,
        knowledge,
        layout,
        metrics,
        loading,
        power,
        validation,
    ):
        here[module.__name__.split(".")[-1]] = module
    here |= names
    exec(source(functions(NOTEBOOK)), here)  # the repository's own notebook
    return here


HERE = namespace()


def test_it_asks_for_what_the_table_was_asked_for(toy_pipe):
    s = knowledge.sentence(2)
    asked = validation.resolve(toy_pipe, HERE["ask"](s.prompt, s.seed, "a cat"))
    assert asked == validation.resolve(toy_pipe, knowledge.spec_of(s, s.prompt, "a cat"))


def test_its_mixture_is_a_straight_line():
    a, b = torch.randn(2, 3, 4)
    torch.testing.assert_close(HERE["between"](a, b, 0.3), torch.lerp(a, b, 0.3))
    assert torch.equal(HERE["between"](a, b, 0), a) and torch.equal(HERE["between"](a, b, 1), b)


def test_its_attention_is_that_of_torch():
    q, k, v = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 8)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(HERE["attend"](q, k) @ v, wanted, atol=1e-5, rtol=1e-4)


def test_its_area_under_the_curve_counts_pairs():
    rng = np.random.default_rng(0)
    heat, mask = rng.normal(size=(6, 7)), rng.random((6, 7)) > 0.6
    pairs = [float(a > b) for a in heat[mask] for b in heat[~mask]]
    assert HERE["auc"](heat, mask) == pytest.approx(np.mean(pairs))
    assert HERE["auc"](mask.astype(float), mask) == 1 and HERE["auc"](-mask.astype(float), mask) == 0


@torch.no_grad()
def test_what_knows_the_subject_is_left_out(toy_pipe):
    here, s = namespace(pipe=toy_pipe), knowledge.sentence(14)
    names = toy_pipe.tokenizer.convert_ids_to_tokens(toy_pipe.tokenizer(s.prompt).input_ids)
    assert [names[i] for i in here["tokens_out"](14, ("subject", "action"))] == ["monkey</w>", "dancing</w>"]
    end = here["tokens_out"](14, ("end",))
    assert names[end[0]] == names[-1] and end == list(range(len(names) - 1, toy_pipe.tokenizer.model_max_length))
    whole, rest = (
        here["scores"](14, {"is": "is"}, here["tokens_out"](14, out))["is"] for out in ((), ("subject", "end"))
    )
    assert len(whole) == len(rest) == 8 and whole != rest


@torch.no_grad()
def test_a_drawing_goes_through_the_vae(toy_pipe):
    frames = cartoon.item(0, 0, frames=2).frames
    x = layout.to_float(torch.from_numpy(frames[None]))[0].transpose(0, 1)  # [f c h w]
    wanted = toy_pipe.vae.decode(toy_pipe.vae.encode(x).latent_dist.mode()).sample  # [f c h w]
    found = namespace(pipe=toy_pipe)["through_vae"](frames)
    assert np.abs(found.astype(int) - layout.to_uint8(wanted.transpose(0, 1)[None])[0].numpy()).max() <= 1


def test_its_pairs_are_the_tables():
    found = namespace(lines=knowledge.STUDY.load())["against"]("misspelt", "subject")
    asked = [knowledge.answers(knowledge.STUDY.load(), way, "subject") for way in ("as it is", "misspelt")]
    assert found == power.Pairs.of(*asked) and found.lost - found.won == sum(asked[0]) - sum(asked[1])


def test_its_noised_drawing_is_equation_4_of_ddpm(toy_pipe):
    labels = cartoon.Labels("dog", "dancing", "moon")
    with torch.no_grad():
        x_t, caption, mask = namespace(pipe=toy_pipe)["noised"](labels, seed=1)
        frames = layout.to_float(torch.from_numpy(cartoon.render(labels, 1, 8)[0][None]))[0].transpose(
            0, 1
        )  # [f c h w]
        x_0 = toy_pipe.vae.encode(frames).latent_dist.mode() * toy_pipe.vae.config.scaling_factor
    eps = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(1))
    wanted = toy_pipe.scheduler.add_noise(x_0.transpose(0, 1)[None], eps, torch.tensor([400]))
    torch.testing.assert_close(x_t, wanted, atol=1e-5, rtol=1e-4)
    assert caption == "a dog is dancing on the moon" and mask.shape == (8, 64, 64)


def test_its_nearest_training_picture_is_the_picture_itself():
    pool = np.stack([cartoon.item(0, i, frames=1).frames[0] for i in range(12)])
    found = namespace(flat=torch.from_numpy(pool).flatten(1).float())["nearest"](np.stack([255 - pool[0], pool[6]]))
    assert found[0] < 0.1 and found[1:] == (1, 6)


def test_it_draws_all_clips_of_the_training_again():
    set_here = {ast.unparse(node) for node in nodes(NOTEBOOK) if isinstance(node, ast.Assign)}
    plan = stages.Plan(Path("unused"))
    assert f"CLIPS = {plan.clips}" in set_here
    assert plan.unet.seed == 0 and any("cartoon.item(0, i, frames=1) for i in range(CLIPS)" in one for one in set_here)


def test_its_pieces_are_the_tokens_between_start_and_end(toy_pipe):
    assert namespace(pipe=toy_pipe)["pieces"]("a dog") == ["a</w>", "dog</w>"]


# --- the exercises


def test_the_map_of_exercise_3_is_the_packages(toy_pipe, solution):
    spec = GenerationSpec(PROMPT, steps=1, frames=2, height=32, width=32)
    with attention_maps.recorded(toy_pipe, "down_blocks.0") as maps:
        generate.generate(toy_pipe, spec)
    (look,) = maps.chosen("cross")
    places = attention_maps.tokens_of(toy_pipe.tokenizer, PROMPT, "times square")
    written = solution("04_3", "word_map")(look.weights, places)
    torch.testing.assert_close(written, maps.of_word(toy_pipe.tokenizer, PROMPT, "times square"))


def test_the_swap_of_exercise_2_is_the_packages(toy_pipe, solution):
    s = knowledge.sentence(1)
    a, b = (denoising.encode_prompt(toy_pipe, knowledge.spec_of(s, p)) for p in (s.prompt, s.replaced("subject")))
    (row,) = attention_maps.tokens_of(toy_pipe.tokenizer, s.prompt, s.labels.subject)
    assert torch.equal(solution("04_2", "swap_row")(a, b, row), knowledge.texts(toy_pipe, s)["its row alone"])
