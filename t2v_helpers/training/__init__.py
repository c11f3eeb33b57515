"""How do weights come about?

Holds: the loop, and what each part of the model learns.
Imports: core to show.
Start reading: loop.py, then stages.py, which `t2v train` runs.
"""
