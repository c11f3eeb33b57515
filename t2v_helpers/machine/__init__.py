"""What is this machine?

Holds: raw facts (probe), device and memory (device), AMD settings (rocm), peak speeds (gpus), what to fix (doctor),
and what a command does to its terminal (terminal).
Imports: core.
Start reading: device.py, which every room calls; doctor.py is what `t2v info` prints.
"""
