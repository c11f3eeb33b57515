"""What is the world?

The cartoon world: a small language, and a clip for every sentence of it.

>>> clip = item(seed=0, index=0)   # frames uint8 [16 64 64 3], caption, labels, mask

Imports: core, machine.
Start reading: world.py, then grammar.py.
"""

from t2v_helpers.cartoon.grammar import (
    ACTIONS,
    HELD_OUT,
    PLACES,
    RIDERS,
    STYLES,
    SUBJECTS,
    Labels,
    caption,
    combinations,
    is_held_out,
    parse,
    unknown_words,
    vocabulary,
)
from t2v_helpers.cartoon.world import SIZE, Item, item, render

__all__ = [
    "ACTIONS", "HELD_OUT", "PLACES", "RIDERS", "SIZE", "STYLES", "SUBJECTS", "Item", "Labels", "caption",
    "combinations", "is_held_out", "item", "parse", "render", "unknown_words", "vocabulary",
]  # fmt: skip
