"""What does every room need?

Holds: paths, whole files, argument checks, seeds, records, shapes, video files.
Imports: nothing of the package.
Start reading: files.py, then records.py.
"""
