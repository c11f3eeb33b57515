"""Films the live page at work, in Chromium: web/live.webp, the picture at the top of the README.

python web/film.py [page.html] [picture.webp]
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from t2v_helpers.core import files

WEB = Path(__file__).resolve().parent
PAGE, TARGET = WEB.parent / "outputs" / "live.html", WEB / "live.webp"
QUALITY = 60  # of 100: letters stay sharp, and all frames together stay below a megabyte


def filmed(page: Path, folder: Path) -> list[int]:
    """The screens that web/film.js leaves in `folder`, each with its milliseconds. SystemExit: what is missing."""
    node, chromium = shutil.which("node"), shutil.which("chromium") or shutil.which("google-chrome")
    if not node or not chromium:
        sys.exit("film needs node and chromium: install both.")
    if not page.is_file():
        sys.exit(f"{page} is not there: `make page` makes it.")
    command = [node, WEB / "film.js", page, chromium, folder]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(page: Path = PAGE, target: Path = TARGET) -> None:
    """Film the page and write the picture, whole."""
    with tempfile.TemporaryDirectory() as folder:
        milliseconds = filmed(page, Path(folder))
        screens = [Image.open(path).convert("RGB") for path in sorted(Path(folder).glob("*.png"))]
    first, *others = screens
    words = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0, "method": 6}
    files.write_whole(target, lambda path: first.save(path, "WEBP", quality=QUALITY, **words))
    print(f"{target}: {len(screens)} screens, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
