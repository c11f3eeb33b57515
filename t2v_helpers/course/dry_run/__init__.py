"""What would the real model need?

`t2v dry-run` loads and runs the real pipeline with random weights on a CPU, and compares the memory with a prediction.

Imports: everything but cli.py.
Start reading: command.py; then folder.py (the weights), stages.py (what is measured), report.py (what must hold).
"""
