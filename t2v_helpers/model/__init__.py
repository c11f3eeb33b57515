"""How is a pipeline loaded and used?

Holds: folders checked (folders/), memory planned, videos made, parts swapped, a LoRA added; later models, in later/.
Imports: core to inside.
Start reading: loading.py, then generate.py.
"""
