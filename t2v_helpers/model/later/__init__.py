"""What came after ModelScopeT2V?

Holds: the published configurations of five later models, their cost beside the 1.7B, and one of them to run.
Imports: what model/ imports, and model/.
Start reading: published.py, then cost.py; wan.py is the one that runs.
"""
