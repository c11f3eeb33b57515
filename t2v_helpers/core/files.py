"""Write files whole or not at all, and read them with care."""

import ctypes
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from t2v_helpers.core.paths import PACKAGE

MAX_NAME, MAX_PATH = 255, 960  # bytes of a file's name, and of a path on every common system with a name to spare
MAX_TEXT, MAX_DEPTH = 2**26, 32  # bytes, and lists in lists: CLIP's tokenizer.json has 3.6 MB, and 7 levels
_HERE, _SWAP = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write(temporary)`, then rename the temporary file to `path`; a failure leaves nothing behind.

    The temporary file has the same name, in a hidden folder of the same folder. Missing folders are made. A reader sees
    the old file or the new one, never half of one. What a killed process left, the next that writes there puts right.
    Errors: those of `check_target`, before writing; OSError naming the path (the disk is full); those of `write`.
    """
    path = Path(path)
    check_target(path)
    with _staged(path.parent, path) as stage:
        write(stage / path.name)
        _flush(stage / path.name)
    return path


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files of one folder that belong together: all or none, also after a kill. Errors: see `write_whole`."""
    for path in contents:
        check_target(path)
    (folder,) = {path.parent for path in contents}
    with _staged(folder, next(iter(contents))) as stage:
        for path, data in contents.items():
            (stage / path.name).write_bytes(data)
            _flush(stage / path.name)


def replace_folder(folder: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write(new)`, which makes the folder `new`, and replace `folder` by it: all of it or nothing."""
    folder = real(folder)  # of a link, its target is replaced
    with _staged(folder.parent, folder) as stage:
        new = stage / folder.name
        write(new)
        if folder.exists() and _exchanged(new, folder):
            shutil.rmtree(new)  # the old one now
    return folder


# What is being written is in a folder of its own in WRITING, with a lock that its process holds while it lives: whoever
# can take the lock, in any process, container or machine, knows that the folder is left over. READY says that all is
# written: from then on it is moved into place, if need be by the next process; before, it is deleted. A folder that
# somebody sent may hold one, too, which would replace files of one's own: so the name of what is ready says, to the
# nanosecond, when the system made its lock, and no archive, download or copy can bring such a time (st_ctime) along.
WRITING, READY, LOCK = ".being-written", ".ready", ".writers-lock"


@contextmanager
def _staged(folder: Path, target: Path) -> Iterator[Path]:
    """A hidden folder below `folder`: when the block succeeds, what is in it takes its place in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tidy(folder)
        stage, lock = _new_stage(folder)
        ready = _ready(stage)
        with lock:
            try:
                yield stage
                _take_places(stage.rename(ready))
            finally:  # also after a Ctrl-C, what is ready takes its places first
                if ready.exists():
                    _take_places(ready)
                _remove(stage)
    except Exception as error:
        if not disk_full(error):
            raise
        message = f"the disk is full, so {named(target)} was not written: free some space or choose another folder"
        raise OSError(errno.ENOSPC, message) from error


def _new_stage(folder: Path) -> tuple[Path, IO]:
    """A new folder in WRITING, and its lock. FileExistsError: see `_check_writing`."""
    for _ in range(100):  # before it is locked, another process may take it for left over
        stage = folder / WRITING / uuid.uuid4().hex
        with suppress(FileExistsError):
            os.mkdir(folder / WRITING)
        _check_writing(folder)
        with suppress(FileNotFoundError):
            stage.mkdir()
            lock = open(stage / LOCK, "ab")
            if _take(lock) is not False and stage.exists():
                return stage, lock
            lock.close()
    raise PermissionError(f"{named(folder)} keeps no folder that is made in it: choose another folder.")


def _check_writing(folder: Path) -> None:
    """FileExistsError: WRITING is a link, which somebody may have sent, or no folder."""
    place = folder / WRITING
    with suppress(FileNotFoundError):  # looked at once: others may remove it
        if not stat.S_ISDIR(place.lstat().st_mode):
            found = "a link" if place.is_symlink() else what_is(place)
            raise FileExistsError(f"{named(place)} is {found}, but a folder to write in is needed there: remove it.")


def _take(lock: IO) -> bool | None:
    """Whether the lock was free, and is now held until the file is closed; None: the file system has no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if isinstance(error, BlockingIOError) else None
    return True


def _ready(stage: Path) -> Path:
    """What a folder in WRITING is called once all is written. FileNotFoundError: it has no lock."""
    name, made = stage.name.partition(".")[0], (stage / LOCK).stat().st_ctime_ns
    return stage.with_name(f"{name}.{made}{READY}")


def _take_places(ready: Path) -> None:
    """Move what is in a folder that is ready to its places in the folder, in the order in which it was written."""
    for item in sorted(ready.iterdir(), key=lambda item: item.lstat().st_mtime_ns):
        target = ready.parent.parent / item.name
        if item.is_dir() and target.exists():
            target.rename(ready / f".old-{uuid.uuid4().hex}")
        if item.name != LOCK and not item.name.startswith(".old-"):
            os.replace(item, target)
    _remove(ready)


def _remove(stage: Path) -> None:
    """Delete a folder in WRITING, under a new name: whoever was about to lock it finds it gone."""
    with suppress(OSError):
        shutil.rmtree(stage.rename(stage.with_name(uuid.uuid4().hex)))
    with suppress(OSError):
        stage.parent.rmdir()  # unless others write


def tidy(folder: str | Path) -> None:
    """Put right what killed processes left in `folder`: what was ready takes its place, the rest is deleted.

    What was ready elsewhere, and came here in a copy or from somebody, is left where it is.
    """
    for stage in _left(Path(folder, WRITING)):
        try:
            lock = open(stage / LOCK, "ab")
        except OSError:  # it is gone, or of another user
            continue
        with lock, suppress(OSError):  # it is gone, or cannot take its place: a file that of a folder
            if not (_take(lock) and stage.exists()):
                continue
            if stage.suffix != READY:
                _remove(stage)
            elif stage == _ready(stage):
                _take_places(stage)
    with suppress(OSError):
        Path(folder, WRITING).rmdir()


def _left(writing: Path) -> list[Path]:
    """The folders in WRITING. A link there, or a pipe for a lock, was sent by somebody: it is left alone."""
    stages = []
    with suppress(OSError):  # it is gone
        stages = list(writing.iterdir()) if stat.S_ISDIR(writing.lstat().st_mode) else []
    locks = [one / LOCK for one in stages if one.is_dir() and not one.is_symlink()]
    return [lock.parent for lock in locks if not lock.is_symlink() and (lock.is_file() or not lock.exists())]


def _exchanged(one: Path, two: Path) -> bool:
    """Exchange two names in one step, where the system can: Linux and macOS, on most file systems."""
    libc, names = ctypes.CDLL(None), (os.fsencode(one), os.fsencode(two))
    if hasattr(libc, "renameat2"):
        return libc.renameat2(_HERE, names[0], _HERE, names[1], _SWAP) == 0
    return hasattr(libc, "renamex_np") and libc.renamex_np(*names, _SWAP) == 0


def check_target(path: str | Path) -> None:
    """Check before a long computation that a file can be written at `path`; leaves nothing there.

    Errors: ValueError where no file can have that name; IsADirectoryError, FileExistsError (a device, a pipe),
    NotADirectoryError, PermissionError; OSError where a name is too long.
    """
    path = Path(path)
    if not is_name(path):
        raise ValueError(f"{named(path)} is no name that a file can have: choose another.")
    longest = max(path.absolute().parts, key=lambda part: len(os.fsencode(part)))
    for what, text, most in (("name", longest, MAX_NAME), ("path", path.absolute(), MAX_PATH)):
        if len(os.fsencode(text)) > most:
            raise OSError(f"{named(text)} is a {what} of more than {most} bytes: choose a shorter one.")
    where = named(path)
    if path.is_dir():
        raise IsADirectoryError(f"{where} is a folder: give the name of a file in it.")
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{where} is {what_is(path)}, which a file would replace: choose another name.")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        found = f"{named(above)} is {what_is(above)}"
        raise NotADirectoryError(f"{found}, so {where} cannot be written below it: choose another name.")
    _check_writing(path.absolute().parent)
    try:
        with TemporaryFile(dir=above):  # /proc says of itself that the super-user may write there
            pass
    except OSError as error:
        why = f"{named(above)} may not be written to, so neither may {where}"
        raise PermissionError(f"{why}: choose another folder.") from error


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8 with unix line ends, whole or not at all. Errors: see `write_whole`."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def existing(path: str | Path, advice: str) -> Path:
    """`path`, if it is a file. FileNotFoundError: it is not, and `advice` says what to do, as the end of a sentence.

    Of files written together, it is then the one of the others: what a killed process left beside it is put right.
    """
    path = Path(path)
    if is_folder(path.parent):
        tidy(path.parent)
    if not is_file(path):
        raise FileNotFoundError(f"{no_file(path)}: {advice}.")
    return path


def no_file(path: Path) -> str:
    """What is wrong with a path at which there is no file, as the start of a sentence."""
    found = f"is {what_is(path)}, and not a file" if os.path.exists(path) else "does not exist"
    return f"{named(path)} {found}"


def what_is(path: Path) -> str:
    """What a path that is not what it should be leads to, as a sentence tells it."""
    if not path.exists():
        return "a link to nothing"
    return "a folder" if path.is_dir() else "a file" if path.is_file() else "a device or a pipe"


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name; a name that no system could have is none."""
    return os.path.isfile(Path(path))


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of that name, also one that a killed process was replacing; see `is_file`."""
    if is_name(path) and not os.path.isdir(path):
        tidy(Path(path).parent)
    return os.path.isdir(path)


def is_name(path: str | Path) -> bool:
    """Whether a file could have that name: there is no NUL in it, and no half of a character."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def named(path: str | Path) -> str:
    """A name as a message tells it: nothing in it breaks a line, and its middle is left out where it is long."""
    text = str(path)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= 300 else f"{text[:140]}...{text[-140:]}"


def check_link(path: str | Path) -> None:
    """ValueError for a link that leads out of its folder: a file from others would lead to one of yours.

    Two places may be made of links: the hub's cache, which keeps its files in blobs, and the installed package.
    """
    folder, leads_to = real(Path(path).parent), real(path)
    kept = [folder, *(above.parent / "blobs" for above in folder.parents[:2] if above.name == "snapshots")]
    if leads_to.parent not in kept and not folder.is_relative_to(PACKAGE):
        to = f"to {named(leads_to)}: put a copy of the file in its place"
        raise ValueError(f"{named(path)} is a link out of its folder, {to}.")


def real(path: str | Path) -> Path:
    """The path without links; of a link to itself, the same path, at which there is nothing to read."""
    return Path(os.path.realpath(path))


def read_text(path: str | Path, errors: str = "strict") -> str:
    """The text of a file. ValueError: not a file (a pipe would never end), too large, or not UTF-8 (see `open`)."""
    path = Path(path)
    try:
        if not is_file(path):
            raise ValueError("it is not a file")
        if path.stat().st_size > MAX_TEXT:
            raise ValueError(f"it has {path.stat().st_size} bytes, but {MAX_TEXT} are the most")
        return path.read_text(encoding="utf-8", errors=errors)
    except (OSError, ValueError) as error:
        raise ValueError(f"{named(path)} cannot be read ({reason(error)}).") from error


def read_json(path: str | Path, kind: type = dict) -> Any:
    """What a JSON file holds. ValueError, naming the file: those of `read_text` and `parse_json`."""
    text = read_text(path)
    try:
        return parse_json(text, kind)
    except ValueError as error:
        raise ValueError(f"{named(path)} cannot be read ({reason(error)}).") from error


def parse_json(text: str, kind: type = dict) -> Any:
    """The value of a JSON text. ValueError: not JSON, not of `kind`, not finite, or nested deeper than MAX_DEPTH."""
    try:
        found = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}") from error
    if not isinstance(found, kind):
        needed = "keys with values are" if kind is dict else f"a {kind.__name__} is"
        raise ValueError(f"it holds a {type(found).__name__}, but {needed} needed")
    level = [found]
    for _ in range(MAX_DEPTH):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [value for values in inner for value in values]
    if level:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH}")
    return found


def _finite(number: str) -> float:
    """A number of a JSON text. Python alone would also read NaN, Infinity and 1e999, which it cannot write as JSON."""
    if not math.isfinite(float(number)):
        raise ValueError(f"it holds {number[:20]}, which is no finite number")
    return float(number)


def _whole(number: str) -> int:
    """A whole number of a JSON text. Python's own words on one of thousands of digits are about its settings."""
    try:
        return int(number)
    except ValueError as error:
        most = sys.get_int_max_str_digits()
        raise ValueError(f"it holds a number of {len(number)} digits, but {most} are the most") from error


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def reason(error: Exception) -> str:
    """An error's message as part of one sentence, with the name of its class unless it is ours; a system's in words."""
    name = "" if type(error) is ValueError else f"{type(error).__name__}: "
    words = getattr(error, "strerror", None) or str(error)
    return f"{name}{' '.join(words.split())[:300]}".rstrip(" .:")


def _flush(path: Path) -> None:
    """Write the bytes to disk before the file is renamed, so that a power cut leaves no empty file."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def disk_full(error: Exception) -> bool:
    """Whether the disk is full; by the message too, since safetensors and ffmpeg wrap the system's error."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)
