"""How does the course run?

Holds: notebooks executed, pages written, costs and the blog's claims listed.
Imports: everything but cli.py.
Start reading: run.py, which `make run` calls.
"""
