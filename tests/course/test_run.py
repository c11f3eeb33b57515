import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from t2v_helpers.core.records import GenerationRecord, GenerationSpec
from t2v_helpers.course import pages, run

WRITE_A_VIDEO = "import os, pathlib\npathlib.Path(os.environ['T2V_OUTPUTS'], 'from a cell.mp4').write_bytes(b'')"


def save_notebook(folder: Path, name: str, *sources: str) -> None:
    cells = [nbformat.v4.new_markdown_cell("# A title")] + [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


class Links(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [unquote(value) for name, value in attrs if name in ("href", "src")]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run over six notebooks: one fails (and has a page of an older run), one hangs, one dies, three pass."""
    folder = tmp_path_factory.mktemp("notebooks")
    outputs = folder / "outputs"
    outputs.mkdir()
    (outputs / "01_fails.html").write_text(pages.page(nbformat.v4.new_notebook()))
    save_notebook(folder, "00_first", "x = 6", "", f"print(x * 7)\n{WRITE_A_VIDEO}")
    save_notebook(folder, "01_fails", "y = 1", "1 / 0", "y = 2")
    save_notebook(folder, "02_hangs", "import time; time.sleep(60)")
    save_notebook(folder, "03_dies", "import os; os._exit(1)")
    save_notebook(folder, "04_small", "import time; time.sleep(0.7)")
    save_notebook(folder, "05_large", "import time\nx = bytearray(300 * 2**20); time.sleep(0.7); del x", "1")
    lines = []
    results = run.run(folder, outputs, cell_seconds=3, report=lines.append, at_once=1)
    return folder, outputs, results, lines


def test_a_failing_notebook_does_not_stop_the_others_and_is_named_with_cell_and_error(ran):
    _, _, results, lines = ran
    assert [bool(result.error) for result in results] == [False, True, True, True, False, False]
    assert results[1].error == "cell 2 of 3: ZeroDivisionError: division by zero"
    assert results[2].error == "cell 1 of 1: took longer than 3 s"
    assert re.fullmatch(r"ok     00_first: [\d.]+ s, \d+ MiB, code cells: 2", lines[0])
    assert lines[1] == "FAILED 01_fails, cell 2 of 3: ZeroDivisionError: division by zero"


def test_pages_hold_the_outputs_and_no_page_is_left_of_a_failed_notebook(ran):
    _, outputs, results, _ = ran
    assert "42" in (outputs / "00_first.html").read_text()
    assert sorted(path.name for path in outputs.iterdir()) == [
        "00_first.html", "04_small.html", "05_large.html", "from a cell.mp4", "index.html", "run.json",
    ]  # fmt: skip
    assert [result.page for result in results] == ["00_first.html", "", "", "", "04_small.html", "05_large.html"]


def test_every_link_of_the_index_exists(ran):
    _, outputs, _, _ = ran
    links = Links((outputs / "index.html").read_text()).found
    assert sorted(set(links)) == ["00_first.html", "04_small.html", "05_large.html", "from a cell.mp4"]
    assert all((outputs / link).is_file() for link in links)


def test_the_index_says_what_failed(ran):
    _, outputs, _, _ = ran
    assert "ZeroDivisionError: division by zero" in (outputs / "index.html").read_text()


def test_the_costs_are_left_as_json(ran):
    _, outputs, results, _ = ran
    found = json.loads((outputs / "run.json").read_text())["notebooks"]
    assert [one["notebook"][:2] for one in found] == ["00", "01", "02", "03", "04", "05"]
    assert found[2]["seconds"] >= 3 and all(10 < one["peak_memory_mib"] < 2000 for one in found)
    assert found[1]["error"] == results[1].error and found[0]["error"] == ""


def test_the_peak_of_memory_is_seen_from_outside(ran):
    small, large = ran[2][4:]
    assert 290 < large.peak_memory_mib - small.peak_memory_mib < 340


def test_a_kernel_that_dies_is_a_failure_of_its_cell(ran):
    assert ran[2][3].error == "cell 1 of 1: the kernel died (out of memory?)"


def meeting(me: str, other: str) -> str:
    """A cell that ends only if the other notebook has begun."""
    return f"import os, time\nos.mkdir({me!r})\nwhile not os.path.exists({other!r}): time.sleep(0.1)"


def test_two_notebooks_run_side_by_side_and_one_that_asks_for_it_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    begun = [str(tmp_path / name) for name in ("a", "b")]
    threads = "import torch; print('threads', torch.get_num_threads())"
    save_notebook(tmp_path, "00_a", meeting(begun[0], begun[1]), threads)
    save_notebook(tmp_path, "01_b", meeting(begun[1], begun[0]))
    save_notebook(tmp_path, "02_alone", "import time; began = time.time(); time.sleep(1)", "print(began, time.time())")
    save_notebook(tmp_path, "03_c", "import time; print(time.time(), 'c')")
    alone = nbformat.read(tmp_path / "02_alone.ipynb", 4)
    alone.metadata["t2v"] = {"alone": True}
    nbformat.write(alone, tmp_path / "02_alone.ipynb")
    results = run.run(tmp_path, tmp_path / "out", cell_seconds=60, report=str, at_once=2)
    assert [(one.notebook[:2], one.error) for one in results] == [(f"0{i}", "") for i in range(4)]
    first, *last = ((tmp_path / "out" / result.page).read_text() for result in (results[0], *results[2:]))
    assert f"threads {max(1, os.cpu_count() // 2)}\n" in first
    times = re.findall(r"1\d{9}\.\d+", "".join(last))
    assert len(times) == 3 and float(times[1]) < float(times[2])


@pytest.mark.parametrize(("last", "status"), [("1", 0), ("1 / 0", 1)])
def test_the_exit_status_and_stderr_say_what_failed(tmp_path, capsys, last, status):
    save_notebook(tmp_path, "00_a", last)
    save_notebook(tmp_path, "01_b", "1")
    words = ["--notebooks", str(tmp_path), "--outputs", str(tmp_path / "out")]
    assert run.main([*words, "00", "--json"]) == status
    out, err = capsys.readouterr()
    assert [one["notebook"] for one in json.loads(out)["notebooks"]] == ["00_a"]
    said = "t2v run: failed in 00_a, cell 1 of 1: ZeroDivisionError: division by zero"
    assert (said in err.splitlines()) == bool(status)


def test_outputs_go_where_the_environment_says(tmp_path, monkeypatch):
    assert run.outputs_folder() == Path("outputs")
    monkeypatch.setenv("T2V_OUTPUTS", str(tmp_path))
    assert run.outputs_folder() == tmp_path and run.outputs_folder("x") == Path("x")


def test_the_notebooks_themselves_are_not_changed(ran):
    folder, _, _, _ = ran
    notebook = nbformat.read(folder / "00_first.ipynb", as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


BAD = {
    "01_cut": b"{",
    "02_empty": b"{}",
    "03_list": b"[]",
    "04_bytes": b"\xff\xfe\x00\x01",
    "05_cell": b"",
    "05_deep": b"[" * 200_000,
    "06_dir": None,
}


def test_a_notebook_that_cannot_be_read_is_named_and_does_not_stop_the_others(tmp_path, capsys):
    for name, content in BAD.items():
        path = tmp_path / f"{name}.ipynb"
        path.mkdir() if content is None else path.write_bytes(content)
    (tmp_path / "05_cell.ipynb").write_text(
        '{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code"}]}'
    )
    save_notebook(tmp_path, "09_good", "1")
    assert run.main(["--notebooks", str(tmp_path), "--outputs", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    for name in list(BAD)[:-1]:
        assert re.search(rf"failed in {name}, {name}.ipynb is not a notebook \(.+\): get it again, or remove it", err)
    assert "failed in 06_dir, 06_dir.ipynb is not a file: move it away." in err and "Traceback" not in err
    assert (tmp_path / "out" / "09_good.html").is_file()
    assert "02_empty.ipynb is not a notebook" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("name", ["index.html", "run.json", "00_a.html"])
def test_a_folder_in_the_place_of_a_page_is_refused_before_a_cell_is_run(tmp_path, name):
    save_notebook(tmp_path, "00_a", WRITE_A_VIDEO)
    (tmp_path / "out" / name).mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=f"{name} is a folder"):
        run.run(tmp_path, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("name", ["index.html", "run.json", "00_a.html"])
def test_a_file_of_somebody_else_in_the_place_of_a_page_is_refused_before_a_cell_is_run(tmp_path, name):
    save_notebook(tmp_path, "00_a", WRITE_A_VIDEO)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("<title>Mine</title>")
    with pytest.raises(ValueError, match=f"{name} is no file of `t2v run`, which would replace it: move it away"):
        run.run(tmp_path, tmp_path / "out")
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["<title>Mine</title>"]


def test_what_a_run_has_written_the_next_replaces(tmp_path):
    save_notebook(tmp_path, "00_a")
    for _ in range(2):
        assert [result.error for result in run.run(tmp_path, tmp_path / "out", report=str)] == [""]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, which Linux has")
def test_outputs_that_cannot_be_made_are_refused_before_a_cell_is_run(tmp_path):
    save_notebook(tmp_path, "00_a", "1")
    with pytest.raises(OSError, match="/proc/nowhere"):
        run.run(tmp_path, "/proc/nowhere", report=lambda line: pytest.fail("a notebook was run"))


@pytest.mark.parametrize("seconds", ["0", "-1", "1.5", "nan", "inf", "1000000"])
def test_the_seconds_of_a_cell_are_a_whole_number(capsys, seconds):
    with pytest.raises(SystemExit):
        run.main(["--cell-seconds", seconds])
    assert f"'{seconds}' is not allowed: give a whole number from 1 to 604,800" in capsys.readouterr().err


def test_the_index_shows_each_video_with_what_was_asked(tmp_path):
    video = tmp_path / "sub" / "dog & cat.mp4"
    video.parent.mkdir()
    video.write_bytes(b"")
    spec = GenerationSpec("a <b>dog</b>", guidance=4.0, height=16, width=16)
    record = GenerationRecord(spec, "cartoon", "float32", "cpu", {}, 1.0, 1.0, "0" * 64)
    video.with_suffix(".json").write_text(record.to_json())
    page = run.index_page([], tmp_path)
    assert "a &lt;b&gt;dog&lt;/b&gt; (dpm++, 25 steps, guidance 4, seed 0)" in page
    assert all((tmp_path / link).is_file() for link in Links(page).found)


def test_a_record_that_cannot_be_read_does_not_cost_the_index(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "a.json").write_text("{")
    assert "not JSON" in run.index_page([], tmp_path)


def test_an_empty_index_says_so(tmp_path):
    assert "None was written." in run.index_page([], tmp_path)


def test_no_notebooks(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no notebook: run this from the root of the course"):
        run.find_notebooks(tmp_path)


def test_names_choose_notebooks_and_unknown_ones_are_refused(tmp_path):
    for name in ("00_a", "02_b", "10_c"):
        save_notebook(tmp_path, name, "1")
    assert [path.stem for path in run.find_notebooks(tmp_path, ["10", "00"])] == ["00_a", "10_c"]
    with pytest.raises(ValueError, match=re.escape("no notebook starts with '07': there are 00_a, 02_b, 10_c.")):
        run.find_notebooks(tmp_path, ["07"])


def test_a_page_half_written_does_not_stay(tmp_path, monkeypatch):
    save_notebook(tmp_path, "00_a", "1")

    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="disk is full"):
        run.run(tmp_path, tmp_path / "out", report=lambda line: None)
    assert list((tmp_path / "out").iterdir()) == []


# --- ended from outside, and another Python's kernel


def started(folder, **settings):
    command = [
        sys.executable,
        "-m",
        "t2v_helpers.cli",
        "run",
        "--notebooks",
        str(folder),
        "--outputs",
        str(folder / "o"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)


def one_notebook(folder, code):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, folder / "00_x.ipynb")


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals")
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_says_one_word_and_leaves_no_kernel(tmp_path, name):
    mark = tmp_path / "pid"
    one_notebook(tmp_path, f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(99)")
    running = started(tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    while not (mark.exists() and mark.read_text()):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(name)
    said = running.communicate()[0]
    assert running.returncode == 130 and said.endswith("t2v: stopped.\n") and "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


SLOW_START = """
import os, sys, time
if "ipykernel_launcher" in sys.orig_argv:
    open({mark!r}, "w").write(str(os.getpid()))
    time.sleep(99)
"""


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals")
def test_ended_while_the_kernel_starts_it_stops_at_once_and_leaves_no_kernel(tmp_path):
    mark, code_path = tmp_path / "pid", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    (tmp_path / "sitecustomize.py").write_text(SLOW_START.format(mark=str(mark)))
    one_notebook(tmp_path, "open('ran', 'w')")
    ctrl_c = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    running = started(tmp_path, env=os.environ | {"PYTHONPATH": code_path, "TQDM_DISABLE": "1"}, **ctrl_c)
    while not (mark.exists() and mark.read_text()):
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=30)[0] == "t2v: stopped.\n"
    assert running.returncode == 130 and not (tmp_path / "ran").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


@pytest.mark.skipif(os.name != "posix", reason="there are no such signals")
def test_a_signal_is_held_until_the_block_ends_and_one_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with run._held() as stopped:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            assert stopped == [signal.SIGINT] * 2
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with run._held():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_foreign_kernel_of_the_same_name_is_not_taken(tmp_path):
    spec = tmp_path / "share" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["/no/such/python", "{connection_file}"], "display_name": "x", "language": "py"})
    )
    one_notebook(tmp_path, "import t2v_helpers")
    running = started(tmp_path, env=os.environ | {"JUPYTER_PATH": str(tmp_path / "share")})
    said = running.communicate()[0]
    assert running.returncode == 0, said


def test_without_progress_bars_the_same_cell_is_named(tmp_path):
    save_notebook(tmp_path, "00_a", "1", "", "1 / 0", "2")
    running = started(tmp_path, env=os.environ | {"TQDM_DISABLE": "1"})
    said = running.communicate()[0]
    assert running.returncode == 1 and "failed in 00_a, cell 2 of 3: ZeroDivisionError" in said, said
