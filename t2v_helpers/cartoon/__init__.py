"""What is the world?

The cartoon world: a small language, and a clip for every sentence of it.

>>> clip = item(seed=0, index=0)   # frames uint8 [16 64 64 3], caption, labels, mask

Imports: core, machine.
Start reading: world.py, then grammar.py.
"""

from t2v_helpers.cartoon.grammar import *
from t2v_helpers.cartoon.world import SIZE, Item, item, render
