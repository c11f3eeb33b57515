"""Where the course keeps its files; no other module uses `__file__`."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # the checkout; an installed package has none
WEIGHTS = PACKAGE / "weights"
BENCHMARKS, IMAGES, NOTEBOOKS = ROOT / "benchmarks", ROOT / "images", ROOT / "notebooks"
