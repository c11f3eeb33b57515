"""README and the pages of docs/ are true: their commands, paths, pictures and numbers are those of the repository."""

import functools
import re
import shlex
from pathlib import Path

import pytest

from t2v_helpers import __version__, cli
from t2v_helpers.core.arguments import Parser
from t2v_helpers.core.records import GenerationSpec
from t2v_helpers.course import blog, costs
from t2v_helpers.model import loading, memory_plan, sweep
from t2v_helpers.show import figures

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("start", "inside", "real_model", "seats")}
TEXT = "\n".join([README, *PAGES.values()])
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
ON_GITHUB = "../../deployments/github-pages"  # of whichever repository this is: where the site was put
LIVE = "web/live.webp"  # tests/web has the tests of this one
SHELL = re.findall(r"```shell\n(.*?)```", TEXT, re.S)
COMMANDS = [line for block in SHELL for line in re.sub(r"\\\n", " ", block).splitlines()]
CODE = re.sub(r"```.*?```", "", TEXT, flags=re.S)
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def table(text: str) -> str:
    return text.partition(costs.BEGIN)[2].partition(costs.END)[0].strip()


def links(text: str) -> list[str]:
    """Where its links and pictures lead, without those to other sites."""
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [link for link in found if not re.match(r"https?:|#", link) and link != ON_GITHUB]


@pytest.mark.parametrize("link", links(README))
def test_every_link_leads_to_a_file(link):
    assert (ROOT / link).is_file()


@pytest.mark.parametrize("name, link", [(name, link) for name, text in PAGES.items() for link in links(text)])
def test_every_link_of_a_page_leads_to_a_file(name, link):
    assert (ROOT / "docs" / link.partition("#")[0]).is_file()


def test_the_readme_is_short_and_begins_with_the_site_and_the_page_at_work():
    title, link, picture, *_ = README.split("\n\n")
    assert title.startswith("# ") and ON_GITHUB in link and re.fullmatch(rf"!\[[^\]]{{10,}}\]\({LIVE}\)", picture)
    assert len(README.split()) <= 800


def test_the_readme_leads_to_every_page():
    assert {f"docs/{name}.md" for name in PAGES} <= set(links(README))


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_picture_is_shown_with_words_for_those_who_do_not_see_it(name):
    assert re.search(rf"!\[[^\]]{{10,}}\]\(\.\./images/{name}\)", TEXT)


def test_the_pictures_it_shows_are_pictures_made_by_code():
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", TEXT)
    assert sorted(shown) == sorted([LIVE, *(f"../images/{name}" for name in figures.FIGURES)])


def test_every_make_target_it_names_exists():
    named = {*re.findall(r"\bmake ([a-z-]+)`", CODE), *re.findall(r"\bmake ([a-z-]+)", "\n".join(COMMANDS))}
    assert {"run", "lab", "test", "train", "bench"} <= named <= TARGETS


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.search(r"\bt2v ", c)])
def test_every_t2v_command_is_understood(command):
    *_, program, words = re.split(r"\b(t2v) ", command.partition("#")[0], maxsplit=1)
    arguments = shlex.split(words)
    assert program == "t2v"
    if arguments[0] == "sweep":
        assert sweep.add_options(Parser()).parse_args(arguments[1:]).prompt
    elif arguments[0] in cli.MODULES:
        assert arguments[1:] == []
    else:
        assert cli.parser().parse_args(arguments).command


@pytest.mark.parametrize("word", re.findall(r"`([\w./]+\.\w+)`", CODE))
def test_every_file_in_code_marks_is_there_or_is_made_by_make(word):
    made = {"index.html", "live.html", "seats.tar"}
    known = {path.name for folder in (".", "notebooks", "benchmarks") for path in (ROOT / folder).glob("*")} | made
    assert Path(word).name in known


def test_the_variables_it_names_are_those_that_are_read():
    paths = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.rglob("t2v_helpers/**/*.py")]
    read = {name for path in paths for name in re.findall(r"\bT2V_[A-Z_]+", path.read_text(encoding="utf-8"))}
    assert set(re.findall(r"\bT2V_[A-Z_]+", TEXT)) == read - {"T2V_HEADLESS"}  # that one `make run` sets by itself


def test_the_memory_of_notebook_11_is_what_the_trace_says():
    needs = functools.cache(lambda *size: loading.needs("modelscope", *size))
    way = memory_plan.plan("7GiB", 16, 256, 256, needs, ("float32",), gpu=True).options
    told = re.findall(r"([\d.]+ GiB) for (\d+)", TEXT.partition("way that `T2V_MEMORY=7GiB` finds")[2])
    assert [int(frames) for _, frames in told] == [16, 20, 40]
    for said, frames in told:
        assert memory_plan.format_bytes(memory_plan.needed(needs(int(frames), 256, 256), way), round_up=True) == said
    notebook = (ROOT / "notebooks" / "11_reproduce_the_blog.ipynb").read_text(encoding="utf-8")
    assert {run.frames for run in blog.RUNS} == {20} and "frames=40" in notebook


def test_the_table_is_the_one_that_the_committed_numbers_give():
    assert table(README) == costs.readme_table()


def test_the_table_has_each_notebook_that_exists_and_no_other():
    assert re.findall(r"\]\(notebooks/([\w.]+)\)", table(README)) == NOTEBOOKS
    assert "not measured" not in table(README)


def test_the_blogs_sentences_and_seed_are_those_of_the_pictures():
    for name, prompt in figures.BLOG_PROMPTS.items():
        assert prompt in TEXT and figures.FIGURES[f"blog_{name}.gif"].specs == (GenerationSpec(prompt, seed=1234),)
    assert "1234" in TEXT


def test_the_seeds_of_the_first_picture_are_those_that_the_words_say():
    assert "seeds are 0 to 5" in TEXT and [spec.seed for spec in figures.FIGURES["hero.gif"].specs] == list(range(6))


def test_each_page_that_asks_for_the_real_weights_says_that_they_are_not_for_commercial_use():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "workshop").glob("*.md")]
    texts = {page: _plain(page.read_text("utf-8")) for page in pages}
    asking = {page for page, text in texts.items() if re.search(r"(T2V_MODEL=|--model )modelscope|REAL=float", text)}
    assert {"real_model.md", "seats.md"} <= {page.name for page in asking}
    assert [page.name for page in asking if "CC-BY-NC 4.0, not for commercial use" not in texts[page]] == []


def _plain(text: str) -> str:
    """Without bold, in one line."""
    return " ".join(text.replace("**", "").split())


def test_the_licence_of_the_real_model_and_the_version_are_said():
    assert "CC-BY-NC 4.0, not for commercial use" in README
    assert f"Version {__version__}" in (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")
