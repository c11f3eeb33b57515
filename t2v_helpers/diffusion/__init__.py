"""What is the mathematics?

Holds: noise, time grids, samplers from their equations, schedulers by name.
Imports: core, machine, cartoon.
Start reading: noise.py, then samplers.py.
"""
