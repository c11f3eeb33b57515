"""The manifest of a folder of weights: every file's size and SHA-256, so that a damaged download is found."""

import json
from pathlib import Path

from t2v_helpers.core import files

MANIFEST = "manifest.json"
_AGAIN = "copy or download the folder again, or reinstall the package"


def write(folder: str | Path) -> Path:
    """List every file below `folder`, except hidden ones, with size and SHA-256 in `folder/manifest.json`."""
    folder = Path(folder)
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    kept = [name for name in names if name != MANIFEST and "/." not in f"/{name}"]
    listed = {name: {"bytes": (folder / name).stat().st_size, "sha256": files.sha256(folder / name)} for name in kept}
    return files.write_text(folder / MANIFEST, json.dumps({"files": listed}, indent=2) + "\n")


def check(folder: str | Path) -> None:
    """Check size and SHA-256 of each file that `folder/manifest.json` lists. Errors: FileNotFoundError; ValueError."""
    for name, expected in _read(Path(folder) / MANIFEST).items():
        path = Path(folder, name)
        if not files.is_file(path):
            raise FileNotFoundError(f"{files.named(path)} is missing, but the manifest lists it: {_AGAIN}.")
        if found := fault(path, expected):
            raise ValueError(f"{found}: {_AGAIN}.")


def _read(path: Path) -> dict[str, dict]:
    where = files.named(path)
    if not files.is_file(path):
        raise FileNotFoundError(f"{files.no_file(path)}, so the folder cannot be checked: {_AGAIN}.")
    try:
        listed = files.read_json(path)["files"]
        read = {name: {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])} for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{where} is not a manifest ({files.reason(error)}): {_AGAIN}.") from error
    if outside := [name for name in read if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise ValueError(f"{where} lists '{files.named(outside[0])}', which is outside its folder: {_AGAIN}.")
    if not read:
        raise ValueError(f"{where} lists no files, so nothing can be checked: {_AGAIN}.")
    return read


def fault(path: Path, expected: dict, unread: bool = False) -> str | None:
    """How a file differs from its expected "bytes" and "sha256", as the start of a sentence; None if it does not.

    unread: compare its size alone, which is free; truncation is the most common damage.
    """
    if (size := path.stat().st_size) != expected["bytes"]:
        return f"{files.named(path)} has {size} bytes, but {str(expected['bytes'])[:20]} are expected"
    if not unread and (found := files.sha256(path)) != expected["sha256"]:
        return f"{files.named(path)} has SHA-256 {found}, but {expected['sha256'][:64]} is expected"
    return None
