"""How are the networks that read videos trained?

Holds: a task and an export for the judge, the segmenter and the small CLIP.
Imports: what training/ imports, and its loop.py and data.py.
Start reading: judge.py.
"""
