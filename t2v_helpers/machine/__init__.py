"""What is this machine?

Holds: its memory, devices, ROCm, GPUs, and what to mend.
Imports: core.
Start reading: doctor.py, which `t2v info` prints.
"""
