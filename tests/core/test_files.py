"""files: written whole or not at all; damage is found and named."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2v_helpers.core import files


def test_write_text_gives_exactly_the_bytes_and_nothing_else(tmp_path):
    path = files.write_text(tmp_path / "new" / "note.txt", "a\nü\n")
    assert path.read_bytes() == "a\nü\n".encode()
    assert os.listdir(tmp_path / "new") == ["note.txt"]


def test_a_long_name_keeps_both_ends():
    assert files.named("a" * 150 + "b" * 150) == "a" * 150 + "b" * 150
    assert files.named("a" * 150 + "b" * 151) == "a" * 140 + "..." + "b" * 140


def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    written = files.write_text(tmp_path / "whole", "")
    assert written.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_temporary_file_is_below_the_same_folder_and_has_the_same_name(tmp_path):
    seen = []
    files.write_whole(tmp_path / "clip.mp4", lambda path: (seen.append(path), path.write_bytes(b"x")))
    assert seen[0].parents[2] == tmp_path and seen[0].name == "clip.mp4"


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_after_a_failure_the_old_file_is_untouched(tmp_path, error):
    def half(path):
        path.write_text("half")
        raise error

    files.write_text(tmp_path / "note.txt", "old")
    with pytest.raises(type(error)) as caught:
        files.write_whole(tmp_path / "note.txt", half)
    assert caught.value is error
    assert (tmp_path / "note.txt").read_text() == "old" and os.listdir(tmp_path) == ["note.txt"]


def test_a_writer_that_writes_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_whole(tmp_path / "note.txt", lambda path: None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), RuntimeError("I/O error: No space left on device")],
)
def test_disk_full(tmp_path, error):
    def fill(path):
        path.write_text("half")
        raise error

    with pytest.raises(OSError, match=r"disk is full.*clip\.mp4") as caught:
        files.write_whole(tmp_path / "clip.mp4", fill)
    assert caught.value.errno == errno.ENOSPC and os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full, which Linux has")
def test_disk_full_as_the_system_says_it(tmp_path):
    def fill(path):
        path.symlink_to("/dev/full")
        path.write_text("too much")

    with pytest.raises(OSError, match="the disk is full"):
        files.write_whole(tmp_path / "note.txt", fill)
    assert os.listdir(tmp_path) == []


def test_a_real_library_writes_through_it(tmp_path):
    weights = {"w": torch.arange(4.0)}
    path = files.write_whole(tmp_path / "w.safetensors", lambda temporary: save_file(weights, temporary))
    assert torch.equal(load_file(path)["w"], weights["w"])


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        files.write_text(tmp_path, "")


def test_a_device_and_a_pipe_are_no_files_to_replace(tmp_path):
    """Whoever is root would put a file in the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="a device or a pipe"):
        files.check_target("/dev/null")
    with pytest.raises(FileExistsError, match="a device or a pipe"):
        files.write_text(tmp_path / "pipe", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "a/" * 600 + "b", "x" * 300])
def test_a_name_that_no_file_can_have(tmp_path, name):
    for check in (files.check_target, lambda path: files.existing(path, "look"), files.read_text):
        with pytest.raises((ValueError, OSError)) as caught:
            check(tmp_path / name)
        text = str(caught.value)
        assert len(text.splitlines()) == 1 and len(text) < 600 and "[Errno" not in text


@pytest.mark.parametrize("to", ["nowhere", "loop"])
def test_a_link_to_nothing_is_no_folder(tmp_path, to):
    (tmp_path / "loop").symlink_to(to)
    with pytest.raises(NotADirectoryError, match="loop is a link to nothing, so .*note.txt cannot be written"):
        files.check_target(tmp_path / "loop" / "note.txt")


def test_a_link_out_of_its_folder_is_refused_and_the_hubs_are_not(tmp_path):
    folder, blobs = tmp_path / "models--a--b" / "snapshots" / "main" / "unet", tmp_path / "models--a--b" / "blobs"
    for place in (folder, blobs):
        place.mkdir(parents=True)
    (blobs / "0f").write_text("of the hub")
    (tmp_path / "mine").write_text("mine")
    (folder / "beside").write_text("beside")
    for name, to in {"a": blobs / "0f", "b": "beside", "c": tmp_path / "mine", "d": "../../../../mine"}.items():
        (folder / name).symlink_to(to)
    for name in ("a", "b", "beside", "nothing"):
        files.check_link(folder / name)
    for name in ("c", "d"):
        with pytest.raises(ValueError, match=f"{name} is a link out of its folder, to .*mine"):
            files.check_link(folder / name)


def test_an_error_of_the_system_is_told_in_words():
    assert files.reason(PermissionError(13, "Permission denied", "a.txt")) == "PermissionError: Permission denied"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(NotADirectoryError, match="a is a file.*b "):
        files.write_text(tmp_path / "a" / "b", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="may not be written to"):
        files.write_text(tmp_path / "note.txt", "")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
@pytest.mark.parametrize("name", ["note.json", "deep/note.json"])
def test_a_folder_that_takes_no_files_whoever_asks(name):
    with pytest.raises(PermissionError, match=f"/proc may not be written to, so neither may /proc/{name}: choose"):
        files.check_target(f"/proc/{name}")


def test_a_place_that_keeps_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files.Path, "mkdir", lambda *_, **__: None)
    with pytest.raises(PermissionError, match="keeps no folder that is made in it: choose another"):
        files.write_text(tmp_path / "note.txt", "")


def test_looking_at_a_place_leaves_nothing_there(tmp_path):
    files.check_target(tmp_path / "deep" / "note.json")
    assert not list(tmp_path.iterdir())


# --- killed


def write_one(place, new):
    files.write_text(place / "note.txt", new)


def write_three(place, new):
    files.write_together({place / name: new.encode() for name in ("dog.mp4", "dog.png", "dog.json")})


def write_folder(place, new):
    def write(folder):
        folder.mkdir()
        (folder / "weights").write_text(new)
        (folder / "config").write_text(new)

    files.replace_folder(place / "model", write)


def found(place):
    return {path.relative_to(place).as_posix(): path.read_text() for path in place.rglob("*") if path.is_file()}


def kill_at(k, work):
    """Run `work` in a process that dies before its k-th call of the file system; whether it did."""
    child = os.fork()
    if not child:
        left = [k]

        def hook(event, _):
            if event.split(".")[0] in ("open", "os", "shutil", "ctypes"):
                left[0] -= 1
                left[0] >= 0 or os._exit(9)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the process that is killed is forked")
@pytest.mark.parametrize("write", [write_one, write_three, write_folder])
@pytest.mark.parametrize("exchange", [True, False])
def test_killed_at_any_write_the_old_or_the_new_is_there_whole(tmp_path, write, exchange, monkeypatch):
    if not exchange:
        monkeypatch.setattr(files, "_exchanged", lambda one, two: False)
    write(tmp_path / "old", "old")
    write(tmp_path / "new", "new")
    old, new = found(tmp_path / "old"), found(tmp_path / "new")
    seen, k = set(), 0
    while True:
        place = tmp_path / f"{k}"
        write(place, "old")
        killed = kill_at(k, lambda place=place: write(place, "new"))
        if exchange and write is not write_three:  # in one step: nobody ever sees anything else
            assert {name: text for name, text in found(place).items() if name[0] != "."} in (old, new), k
        files.tidy(place)
        assert found(place) in (old, new), k
        assert not list(place.glob(".*")), k
        seen.add(found(place) == new)
        if not killed:
            break
        k += 1
    assert k > 5 and seen == {True, False}


def test_who_looks_for_a_folder_finds_it_also_when_it_was_being_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchanged", lambda one, two: False)
    write_folder(tmp_path, "old")
    k, gone = 0, 0
    while kill_at(k, lambda: write_folder(tmp_path, "new")):
        k, gone = k + 1, gone + (not (tmp_path / "model").is_dir())
        assert files.is_folder(tmp_path / "model"), k
    assert gone


def test_who_reads_a_file_of_three_finds_the_one_of_the_others(tmp_path):
    k, mixed, killed = 0, 0, True
    while killed:
        place = tmp_path / f"{k}"
        write_three(place, "old")
        killed = kill_at(k, lambda place=place: write_three(place, "new"))
        k, mixed = k + 1, mixed + (len(set(found(place).values())) > 1)
        assert files.existing(place / "dog.json", "look").read_text() == (place / "dog.mp4").read_text(), k
    assert mixed


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    def write(temporary):
        temporary.write_text("new")
        files.tidy(tmp_path)

    assert files.write_whole(tmp_path / "note.txt", write).read_text() == "new"


def test_the_next_to_write_in_a_folder_cleans_up(tmp_path):
    killed = (kill_at(k, lambda: write_three(tmp_path, "new")) for k in range(5, 99))
    assert any(left and list(tmp_path.glob(".*")) for left in killed)
    code = "import sys; from t2v_helpers.core import files; files.write_text(sys.argv[1], '')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "other")], check=True)
    assert not list(tmp_path.glob(".*"))


def left_ready(folder, name, text):
    """What a process leaves that is killed when all is written."""
    folder.mkdir(exist_ok=True)
    stage, lock = files._new_stage(folder)
    (stage / name).write_text(text)
    lock.close()
    return stage.rename(files._ready(stage))


def test_whose_lock_is_free_is_dead_wherever_it_ran_and_whose_is_held_lives(tmp_path):
    """No name of a machine and no number of a process is asked: in containers both come again."""
    left_ready(tmp_path, "old.ready.txt", "left")
    (tmp_path / files.WRITING / "old").mkdir()
    (tmp_path / files.WRITING / "old" / "old.txt").write_text("left")
    stage, lock = files._new_stage(tmp_path)
    files.tidy(tmp_path)
    assert found(tmp_path) == {"old.ready.txt": "left", f"{files.WRITING}/{stage.name}/{files.LOCK}": ""}
    lock.close()
    files.tidy(tmp_path)
    assert os.listdir(tmp_path) == ["old.ready.txt"]


def test_processes_that_write_and_tidy_at_once_lose_nothing(tmp_path):
    code = "import sys; from t2v_helpers.core import files; [files.write_text(f'{sys.argv[1]}/{sys.argv[2]}-{i}', '')"
    code = f"{code} for i in range(200)]"
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(k)]) for k in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(os.listdir(tmp_path)) == 600


def test_without_locks_in_the_file_system_files_are_written_and_nothing_is_deleted(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / files.WRITING / "another's").mkdir(parents=True)
    monkeypatch.setattr(files.fcntl, "flock", fail)
    files.write_text(tmp_path / "note.txt", "new")
    assert (tmp_path / files.WRITING / "another's").exists() and (tmp_path / "note.txt").read_text() == "new"


@pytest.mark.parametrize("text", ["{", '{"a":' * 33 + "1" + "}" * 33, "[" * 10**6, "[]", "1e999"])
def test_a_json_file_that_is_none(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=r"a\.json cannot be read"):
        files.read_json(tmp_path / "a.json")


def test_a_json_file_may_be_nested_as_deep_as_real_ones(tmp_path):
    (tmp_path / "a.json").write_text('{"a":' * 31 + "1" + "}" * 31)
    assert files.read_json(tmp_path / "a.json")


def test_a_large_text_is_refused_unread(tmp_path):
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=f"has {2**40} bytes"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(number):
    with pytest.raises(ValueError, match=f"{number}, which is no finite number"):
        files.parse_json(f'{{"scaling_factor": {number}}}')


def test_a_number_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="^it holds a number of 5000 digits, but 4300 are the most$"):
        files.parse_json(f'{{"layers": {"1" * 5000}}}')


@pytest.mark.parametrize("sent", [".being-written", ".being-written/x", ".being-written/x.ready"])
def test_a_link_among_what_was_left_over_leads_nowhere(tmp_path, sent):
    victim, folder = tmp_path / "victim", tmp_path / "sent"
    for name in ("mine/deep.txt", "x.ready/deep.txt", "film.mp4"):
        files.write_text(victim / name, "mine")
    before = sorted(victim.rglob("*"))
    (folder / sent).parent.mkdir(parents=True)
    (folder / sent).symlink_to(victim, target_is_directory=True)
    files.tidy(folder)
    assert sorted(victim.rglob("*")) == before and not (folder / "film.mp4").exists()
    if sent == ".being-written":
        with pytest.raises(FileExistsError, match="remove it"):
            files.write_text(folder / "a.txt", "new")
        assert sorted(victim.rglob("*")) == before


@pytest.mark.parametrize(("make", "what"), [(os.mkfifo, "a device or a pipe"), (Path.touch, "a file")])
def test_what_stands_where_files_are_written_is_named_before_computing(tmp_path, make, what):
    make(tmp_path / files.WRITING)
    for write in (files.check_target, lambda path: files.write_text(path, "")):
        with pytest.raises(
            FileExistsError, match=f"{files.WRITING} is {what}, but a folder .* is needed there: remove"
        ):
            write(tmp_path / "a.txt")
    assert os.listdir(tmp_path) == [files.WRITING]


def test_a_pipe_for_a_lock_keeps_nobody_waiting(tmp_path):
    (tmp_path / ".being-written" / "x").mkdir(parents=True)
    os.mkfifo(tmp_path / ".being-written" / "x" / ".writers-lock")
    files.tidy(tmp_path)
    assert files.write_text(tmp_path / "a.txt", "new").read_text() == "new"


def test_what_cannot_take_its_place_is_left_alone(tmp_path):
    (tmp_path / "dog.json").mkdir()
    ready = left_ready(tmp_path, "dog.json", "left")
    with pytest.raises(FileNotFoundError, match="dog.json is a folder"):
        files.existing(tmp_path / "dog.json", "give another")
    assert (ready / "dog.json").read_text() == "left"


@pytest.mark.parametrize("locked", [True, False])
def test_what_somebody_sent_as_ready_replaces_nothing(tmp_path, locked):
    (sent := tmp_path / files.WRITING / "x.ready").mkdir(parents=True)
    (sent / "dog.json").write_text("sent")
    if locked:
        (sent / files.LOCK).touch()
    files.write_text(tmp_path / "dog.json", "mine")
    assert files.existing(tmp_path / "dog.json", "look").read_text() == "mine"
    assert (sent / "dog.json").read_text() == "sent"


@pytest.mark.parametrize("copy", [shutil.copytree, lambda one, two: subprocess.run(["cp", "-a", one, two], check=True)])
def test_what_was_ready_replaces_nothing_where_it_was_copied_to(tmp_path, copy):
    left_ready(tmp_path / "theirs", "dog.json", "theirs")
    copy(tmp_path / "theirs", tmp_path / "sent")
    (tmp_path / "sent" / "dog.json").write_text("mine")
    assert files.existing(tmp_path / "sent" / "dog.json", "look").read_text() == "mine"
    (tmp_path / "theirs").rename(tmp_path / "moved")
    assert files.existing(tmp_path / "moved" / "dog.json", "look").read_text() == "theirs"
