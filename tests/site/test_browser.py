"""`make browser` finds what is wrong with a page, and nothing wrong with the built site."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = ROOT / "web/test/site.js"
FINE = '<!doctype html><html lang="en"><title>a page</title><body><main><h1>A page</h1>{}</main></body></html>'
FAULTS = {
    "wide": ('<div style="width: 900px">wide</div>', "pixels wide in 390"),
    "elsewhere": ('<img alt="a dot" src="http://127.0.0.1:9/dot.png">', "asks for http://127.0.0.1:9/dot.png"),
    "loud": ("<script>console.error('something broke')</script>", "console: something broke"),
    "still": ('<video controls aria-label="none" src="data:video/mp4;base64,AAAA"></video>', "video 1 does not play"),
    "formula": ('<span class="math">\\(x^2\\)</span>', "formula not drawn: \\(x^2\\)"),
    "unnamed": ("<button></button>", "axe, button-name"),
}


@pytest.fixture(scope="module")
def look():
    if not shutil.which("node") or not (ROOT / "web/node_modules/playwright-core").is_dir():
        pytest.skip("there is no node, or no web/node_modules: `make browser` brings the packages")
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("there is no Chromium here: install it (Debian: apt-get install chromium)")

    def run(folder: Path) -> subprocess.CompletedProcess:
        return subprocess.run(["node", LOOK, folder], capture_output=True, text=True, timeout=1500)

    return run


@pytest.fixture(scope="module")
def seen(look, tmp_path_factory) -> str:
    """What is said of a folder with one fine page, and one page with each fault."""
    folder = tmp_path_factory.mktemp("pages")
    for name, body in {"fine": "<p>fine</p>", **{name: body for name, (body, _) in FAULTS.items()}}.items():
        (folder / f"{name}.html").write_text(FINE.format(body), encoding="utf-8")
    done = look(folder)
    assert done.returncode == 1, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_each_kind_of_fault_is_found_and_named(seen, name):
    said = seen.partition(f"{name}.html\n")[2].split(".html")[0]
    assert FAULTS[name][1] in said


def test_a_page_without_a_fault_is_left_alone(seen):
    (line,) = (line for line in seen.splitlines() if line.endswith("fine.html"))
    assert line.startswith("ok")


@pytest.mark.timeout(1800)
def test_the_built_site_has_no_fault(look):
    if not (ROOT / "site/index.html").is_file():
        pytest.skip("there is no site: `make site` builds it")
    done = look(ROOT / "site")
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(1800)
def test_jupyterlab_runs_the_first_notebook_and_its_playground_makes_a_video(look):
    if not (ROOT / os.environ.get("VENV", ".venv") / ".ready").is_file():
        pytest.skip("there is no environment that `make lab` could start at once: `make setup` makes it")
    done = subprocess.run(["node", LOOK.with_name("lab.js")], capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0 and done.stdout.startswith("ok"), done.stdout + done.stderr


@pytest.mark.parametrize("script, missing", [("site", "Chromium"), ("firefox", "Firefox"), ("lab", "Chromium")])
def test_without_a_browser_each_says_so_and_goes_on(script, missing):
    if not (node := shutil.which("node")) or not (ROOT / "web/node_modules/playwright-core").is_dir():
        pytest.skip("there is no node, or no web/node_modules: `make browser` brings the packages")
    command, nowhere = [node, LOOK.with_name(f"{script}.js")], {"PATH": "", "CHROMIUM": "none"}
    done = subprocess.run(command, capture_output=True, text=True, env=nowhere | {"FIREFOX": "none"})
    assert done.returncode == 0 and f"no {missing} here" in done.stdout
