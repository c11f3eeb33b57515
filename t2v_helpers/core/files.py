"""Write files whole or not at all, and check a folder of weights against its manifest."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

MANIFEST = "manifest.json"
MAX_NAME = 255  # bytes of a file's name, on every common file system
_BLOCK = 2**20  # bytes read at a time
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write(temporary)`, then rename the temporary file to `path`; a failure leaves nothing behind.

    The temporary file is in the same folder and has the same suffix. Missing folders are made. A reader sees the old
    file or the new one, never half of one.
    Errors: those of `check_target` before writing; OSError naming the path where the disk is full; whatever `write`
    raises.
    """
    path = Path(path)
    with _temporaries([path]) as (temporary,):
        write(temporary)
    return path


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none is renamed before all are written. Errors: see `write_whole`."""
    with _temporaries(list(contents)) as temporaries:
        for temporary, data in zip(temporaries, contents.values(), strict=True):
            temporary.write_bytes(data)


@contextmanager
def _temporaries(paths: list[Path]) -> Iterator[list[Path]]:
    """A temporary path for each of `paths`; they are renamed, in this order, when the block succeeds."""
    for path in paths:
        check_target(path)
        path.parent.mkdir(parents=True, exist_ok=True)
    temporaries = [path.parent / f".{uuid.uuid4().hex}{path.suffix}" for path in paths]
    try:
        yield temporaries
        for temporary in temporaries:
            _flush(temporary)
        for temporary, path in zip(temporaries, paths, strict=True):
            os.replace(temporary, path)
    except Exception as error:
        if not disk_full(error):
            raise
        message = f"the disk is full, so {paths[0]} was not written: free some space or choose another folder"
        raise OSError(errno.ENOSPC, message) from error
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def replace_folder(folder: str | Path, write: Callable[[Path], object]) -> Path:
    """Call `write(new)`, which makes the folder `new`, and replace `folder` by it: all of it or nothing."""
    folder = Path(folder).resolve()  # of a link, its target is replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        write(new)
        _swap(new, folder, old)
    return folder


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Rename `folder` to `old` and `new` to `folder`; a failure in between restores the old folder."""
    try:
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)


def check_target(path: str | Path) -> None:
    """Check before a long computation that a file can be written at `path`; leaves nothing there.

    Errors: IsADirectoryError, NotADirectoryError, PermissionError; OSError where a name is too long.
    """
    path = Path(path)
    longest = max(path.absolute().parts, key=lambda part: len(os.fsencode(part)))
    if len(os.fsencode(longest)) > MAX_NAME:
        raise OSError(f"{longest[:20]}... is a name of more than {MAX_NAME} bytes: choose a shorter one.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it.")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{above} is a file, so {path} cannot be written below it: choose another name.")
    try:
        with TemporaryFile(dir=above):  # /proc says of itself that the super-user may write there
            pass
    except OSError as error:
        raise PermissionError(
            f"{above} may not be written to, so neither may {path}: choose another folder."
        ) from error


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8 with unix line ends, whole or not at all. Errors: see `write_whole`."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: str | Path) -> Path:
    """List every file below `folder`, except hidden ones, with size and SHA-256 in `folder/manifest.json`."""
    folder = Path(folder)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    kept = [name for name in names if name != MANIFEST and not any(part.startswith(".") for part in name.split("/"))]
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in kept}
    return write_text(folder / MANIFEST, json.dumps({"files": files}, indent=2) + "\n")


def check_manifest(folder: str | Path) -> None:
    """Check the size and SHA-256 of every file that `folder/manifest.json` lists.

    Errors: FileNotFoundError (no manifest, or a file is missing); ValueError (the file, what was found and expected).
    """
    folder = Path(folder)
    for name, expected in _read_manifest(folder / MANIFEST).items():
        _check_file(folder / name, expected)


_AGAIN = "copy or download the folder again, or reinstall the package"


def _read_manifest(path: Path) -> dict[str, dict]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, so the folder cannot be checked: {_AGAIN}.")
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        read = {name: {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])} for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a manifest ({error}): {_AGAIN}.") from error
    if not read:
        raise ValueError(f"{path} lists no files, so nothing can be checked: {_AGAIN}.")
    return read


def _check_file(path: Path, expected: dict) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, but the manifest lists it: {_AGAIN}.")
    if found := fault(path, expected):
        raise ValueError(f"{found}: {_AGAIN}.")


def fault(path: Path, expected: dict) -> str | None:
    """How a file differs from its expected "bytes" and "sha256", as the start of a sentence; None if it does not."""
    if found := size_fault(path, expected):  # first: it is free, and truncation is the most common damage
        return found
    found = sha256(path)
    return None if found == expected["sha256"] else f"{path} has SHA-256 {found}, but {expected['sha256']} is expected"


def size_fault(path: Path, expected: dict) -> str | None:
    """How a file's size differs from the expected "bytes", as `fault` says it."""
    size = path.stat().st_size
    return None if size == expected["bytes"] else f"{path} has {size} bytes, but {expected['bytes']} are expected"


def reason(error: Exception) -> str:
    """A library's error message as part of one sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(" .:")


def _flush(path: Path) -> None:
    """Write the bytes to disk before the file is renamed, so that a power cut leaves no empty file."""
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def disk_full(error: Exception) -> bool:
    """Whether the disk is full; by the message too, since safetensors and ffmpeg wrap the system's error."""
    return getattr(error, "errno", None) in _FULL or "No space left on device" in str(error)
