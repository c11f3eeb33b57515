"""How is what came after ModelScopeT2V trained?

Holds: a task for another network.
Imports: what training/ imports, and training/.
Start reading: dit.py.
"""
