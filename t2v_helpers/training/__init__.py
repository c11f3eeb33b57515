"""How are the weights trained?

Holds: the training loop, a task for each network, LoRA fine-tuning, the student, and the export of weights.
Imports: core to show.
Start reading: loop.py, then stages.py, which `t2v train` runs.
"""
