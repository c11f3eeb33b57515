"""Is the answer right, where words, knobs, parts or weights are changed?

The checks of notebooks 04 to 08.

Imports: as the room above.
Start reading: notebook_04.py.
"""
