"""Is the answer right, where quality, speed and agreement are measured?

The checks of notebook 09 and later ones.

Imports: as the room above.
Start reading: notebook_09.py.
"""
