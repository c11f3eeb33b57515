"""Where the course keeps its files: the only module that asks where the package lies."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parent  # the checkout, where there is one: an installed package stands alone
WEIGHTS = PACKAGE / "weights"
BENCHMARKS, IMAGES, NOTEBOOKS = ROOT / "benchmarks", ROOT / "images", ROOT / "notebooks"
