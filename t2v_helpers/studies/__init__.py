"""What needs many videos?

Holds: tables of many seeds, each resumed where it stopped, and everything that `make bench` measures (release.py).
Imports: core to training.
Start reading: study.py, then comparison.py. A new study is one new file here that declares a STUDY.
"""
