"""How is what came after ModelScopeT2V trained?

Holds: another objective for the same UNet, and another network for the same objective.
Imports: what training/ imports, and training/.
Start reading: flow.py, then dit.py.
"""
