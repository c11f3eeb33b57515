"""Is the answer right, where a video is made?

The checks of notebooks 00 to 03.

Imports: as the room above.
Start reading: notebook_00.py.
"""
