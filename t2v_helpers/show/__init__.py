"""How does the reader see it?

Holds: videos, plots and diagrams in a notebook or as a picture.
Imports: core to metrics.
Start reading: display.py.
"""
