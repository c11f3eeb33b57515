"""The benchmark: each bar of the project is measured, printed and written, and the cards say what the files say."""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from t2v_helpers import cartoon
from t2v_helpers.core import files
from t2v_helpers.metrics.estimates import Measure
from t2v_helpers.model import loading
from t2v_helpers.model.folders import manifests
from t2v_helpers.studies import release, release_measures

RESULTS = release.FOLDER / "results.json"
TOY = {
    "judge": {"command": "t2v bench --only judge", "weights": "abc", "machine": "a laptop", "words": {},
              "measures": {"judge/none": {"value": 0.995, "low": 0.98, "high": 1.0, "n": 200}}},
    "grammar": {"command": "t2v bench --only grammar", "weights": "def", "machine": "a laptop",
                "words": {"subject": {"cat": [1, 2], "dog": [3, 3]}},
                "measures": {"grammar/all four": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 64},
                             "grammar/control": {"value": 0.0, "low": 0.0, "high": 0.01, "n": 64},
                             "grammar/sharpness": {"value": 0.93, "low": 0.9, "high": 0.95, "n": 64}}},
}  # fmt: skip


@pytest.fixture
def own_folder(tmp_path, monkeypatch) -> Path:
    """A checkout of the test's own, with the two cards in it."""
    cards = []
    for card in release.CARDS:
        cards.append(tmp_path / card.name)
        cards[-1].write_text(card.read_text())
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(release, "FOLDER", tmp_path / "benchmarks")
    monkeypatch.setattr(release, "CARDS", tuple(cards))
    return tmp_path / "benchmarks"


def options(*words: str) -> argparse.Namespace:
    return release.add_options(argparse.ArgumentParser()).parse_args(words)


# --- the bars


BARS = release.BARS


def test_every_part_has_bars_and_every_bar_a_part():
    assert list(dict.fromkeys(name.split("/")[0] for name in BARS)) == list(release.PARTS)


@pytest.mark.parametrize("name", ["vae/psnr", "grammar/all four", "held_out/all four"])
def test_a_promise_is_a_least_value_and_a_better_aim(name):
    assert not BARS[name].below and BARS[name].bar < BARS[name].aim


@pytest.mark.parametrize("name", ["grammar/control", "timings/video", "timings/import", "unet/ratio"])
def test_a_limit_is_a_largest_value(name):
    assert BARS[name].below and BARS[name].reached(BARS[name].bar) and not BARS[name].reached(BARS[name].bar + 1e-6)


def test_what_was_recorded_is_read_back(own_folder):
    assert release.recorded("judge") == {}
    release.write({"judge": TOY["judge"]}, own_folder)
    assert release.recorded("judge") == {"judge/none": Measure(0.995, 0.98, 1.0, 200)}
    assert release.recorded("temporal") == {}


# --- tables, files, cards


def test_the_table_shows_value_interval_number_bar_and_verdict():
    rows = release.table(TOY).splitlines()
    assert rows[2].endswith("weakest label | 99.5 % | 98.0 % to 100.0 % | 200 | at least 99.0 % |  | pass |")
    assert rows[3].endswith("all four | 50.0 % | 40.0 % to 60.0 % | 64 | at least 98.0 % | 99.5 % | **miss** |")
    assert "at most 2.0 %" in rows[4] and "0.93 x" in rows[5]


def test_the_student_s_sharpness_is_also_relative_to_its_teacher_s():
    student = {"measures": {"student/4/sharpness": {"value": 0.465, "low": 0.45, "high": 0.475, "n": 8}}, "words": {}}
    assert "4 calls: sharpness relative to the teacher's" not in release.table({"student": student})
    both = release.table(TOY | {"student": student})
    assert "the teacher's | 0.50 x | 0.48 x to 0.51 x | 8 | at least 0.90 x" in both


def test_what_is_missed_is_named():
    assert release.missed(TOY) == ["prompts from the grammar: all four"]


def test_without_results_nothing_is_claimed():
    assert release.table({}) == "Not measured yet: run `make bench`."


def test_the_page_has_words_commands_and_machine():
    page = release.page(TOY)
    assert "cat 1/2, dog 3/3" in page and "- judge: `t2v bench --only judge`, on a laptop" in page


def test_writing_keeps_what_was_not_measured_again(own_folder):
    release.write({"judge": TOY["judge"]}, own_folder)
    release.write({"grammar": TOY["grammar"]}, own_folder)
    assert json.loads((own_folder / "results.json").read_text()) == TOY
    assert (own_folder / "README.md").read_text() == release.page(TOY)
    assert release.table(TOY) in release.CARDS[0].read_text()


def test_a_command_measures_its_part_again():
    asked = options("--prompts", "600", "--only", "grammar")
    assert release.command("grammar", asked) == "t2v bench --model cartoon --only grammar --prompts 600"
    assert release.command("temporal", asked) == "t2v bench --model cartoon --only temporal --seeds 32"
    assert release.command("held_out", asked) == "t2v bench --model cartoon --only held_out --held-out 128"


def test_a_quick_run_prints_and_writes_nothing(own_folder, capsys, monkeypatch):
    release.main(["--only", "judge", "--quick", "--renders", "4"])
    assert "judge on blurred drawings: weakest label" in capsys.readouterr().out
    assert not own_folder.exists()


def test_a_quick_run_takes_the_numbers_that_are_given(monkeypatch):
    seen = []
    monkeypatch.setattr(release, "run", lambda options: seen.append(options) or {})
    assert release.main(["--quick", "--clips", "1", "--seeds", "5"]) == 0
    assert (seen[0].clips, seen[0].seeds, seen[0].prompts) == (1, 5, release.PARTS["grammar"].count.quick)


def test_weights_without_a_manifest_are_refused_before_anything_is_measured(toy_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(toy_folder, tmp_path / "toy")
    (folder / manifests.MANIFEST).unlink()
    monkeypatch.setattr(release_measures, "measure_vae", lambda *_: pytest.fail("measuring began before the check"))
    with pytest.raises(FileNotFoundError, match="manifest.json does not exist"):
        release.main(["--model", str(folder), "--only", "vae"])


def test_a_wrong_model_is_refused_for_the_judge_too():
    with pytest.raises(ValueError, match="model='nope' is unknown"):
        release.main(["--model", "nope", "--only", "judge"])


def test_a_full_run_of_a_part_writes(own_folder, capsys, monkeypatch):
    judge = replace(release.PARTS["judge"], count=release.Count("renders", 4, 4, "renders"))
    monkeypatch.setattr(release, "PARTS", release.PARTS | {"judge": judge})
    release.main(["--only", "judge", "--renders", "4", "--json"])
    found = json.loads((own_folder / "results.json").read_text())
    assert found == json.loads(capsys.readouterr().out) and found["judge"]["weights"] == judge.weights("cartoon")


def test_a_missed_bar_ends_in_an_error(capsys, monkeypatch):
    monkeypatch.setattr(release, "run", lambda options: TOY)
    assert release.main(["--quick"]) == 1
    assert "below the bar: prompts from the grammar: all four" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--prompts", "0"], ["--clips", "-3"], ["--renders", "x"], ["--only", "sound"]])
def test_bad_options_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        options(*words)
    assert "give a whole number, at least 1" in (found := capsys.readouterr().err) or "invalid choice" in found


# --- what the repository says


def results() -> dict:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


@pytest.mark.parametrize("part", release.PARTS)
def test_every_part_was_measured_on_the_weights_that_ship(part):
    assert part in results(), f"{part} is not measured: run `t2v bench --only {part}`"
    assert results()[part]["weights"] == release.PARTS[part].weights("cartoon"), (
        f"measure again: `{results()[part]['command']}`"
    )


def test_the_committed_page_is_made_of_the_committed_results():
    assert (release.FOLDER / "README.md").read_text() == release.page(results())


@pytest.mark.parametrize("card", release.CARDS, ids=lambda card: card.name)
def test_a_card_says_what_the_results_and_the_world_say(card):
    text = card.read_text()
    assert "<!-- end -->" in text and release.filled(text, results()) == text


def test_a_card_is_filled_block_by_block():
    card = "a\n<!-- bench -->\nold\n<!-- end -->\nb\n<!-- held out -->\nold\n<!-- end -->\nc"
    assert release.filled(card, TOY) == (
        f"a\n<!-- bench -->\n{release.table(TOY)}\n<!-- end -->\nb\n<!-- held out -->\n{release.held_out_list()}\n"
        "<!-- end -->\nc"
    )


def test_the_held_out_list_names_all_of_them():
    text = release.held_out_list()
    assert text.count(" / ") == len(cartoon.HELD_OUT)
    assert "- robot: dancing / times square" in text


def test_weights_are_named_by_their_hash():
    assert release.PARTS["judge"].weights("cartoon") == files.sha256(release.judges.WEIGHTS)
    assert release.PARTS["vae"].weights("cartoon") == files.sha256(loading.CARTOON / "manifest.json")
