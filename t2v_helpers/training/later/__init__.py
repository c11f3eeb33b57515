"""How is what came after ModelScopeT2V trained?

Holds: another objective, and a task for another network.
Imports: what training/ imports, and training/.
Start reading: flow.py, then dit.py.
"""
