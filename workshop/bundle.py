"""`make bundle`: one archive for seats without a network, outputs/seats.tar.

    python -m workshop.bundle [archive]

In it are the repository's files, the packages in wheels/, the live page, the site, the slides, and the weights in
weights/ where they were fetched. `make prove-bundle` unpacks it elsewhere, and installs and runs it without a network.
"""

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from t2v_helpers.core import arguments, files
from t2v_helpers.core.paths import ROOT

ARCHIVE = ROOT / "outputs" / "seats.tar"
FOLDER = "course"  # what the archive unpacks to
MADE = {  # what a bundle needs beside the repository -> the command that makes it
    "wheels": "make bundle",
    "site/index.html": "make site",
    "outputs/live.html": "make page",
    "outputs/workshop/slides_90_minutes.html": "make slides",
}
CARRIED = ("wheels", "site", "outputs/live.html", "outputs/workshop", "weights")


def contents(root: Path = ROOT) -> list[Path]:
    """What goes into the archive: the files that git knows, and what was made. FileNotFoundError: it was not made."""
    for name, command in MADE.items():
        if not (root / name).exists():
            raise FileNotFoundError(f"{root / name} is not there: run `{command}` first.")
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout
    known = [root / name for name in listed.split("\0") if name and (root / name).is_file()]
    return known + [path for name in CARRIED for path in _files(root / name)]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())


def pack(archive: Path = ARCHIVE, root: Path = ROOT) -> Path:
    """Write the archive, whole. Wheels and weights are compressed already, so it is not. Errors: see `contents`."""
    found = contents(root)

    def write(path: Path) -> None:
        with tarfile.open(path, "w") as tar:
            for one in found:
                tar.add(one, f"{FOLDER}/{one.relative_to(root).as_posix()}", filter=_nobodys)

    return files.write_whole(archive, write)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same file, without the name of whoever packed it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Pack, and say what was made. Status 2 where something is missing, with one sentence."""
    p = arguments.Parser(prog="python -m workshop.bundle", description="Pack what seats without a network need.")
    p.add_argument("archive", type=arguments.path, nargs="?", default=ARCHIVE)
    try:
        made = pack(p.parse_args(words).archive, root)
    except (ValueError, OSError) as error:
        print(f"{p.prog}: {error}", file=sys.stderr)
        return 2
    print(f"{made}: {made.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
