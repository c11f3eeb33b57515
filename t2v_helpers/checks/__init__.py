"""Is the answer right?

`checks.check_NN_k(answer)` judges exercise k of notebook NN and gives a `Verdict`, which says what is wrong, not
merely that it is. A notebook shows it as the last line of a cell, and `if verdict:` is true for a right answer. A stub
raises nothing, so that "Run All" goes past an exercise that nobody has done yet; an error inside an answer is shown as
Python shows it.

Nothing is registered: each check_NN_k of a file in this folder is found here by its name.

Imports: core to studies.
Start reading: advice.py, then making.py.
"""

from importlib import import_module
from pkgutil import iter_modules

from t2v_helpers.checks.advice import Verdict, is_missing, judge

__all__ = ["Verdict", "is_missing"]

for _module in iter_modules(__path__, f"{__name__}."):
    for _name, _check in vars(import_module(_module.name)).items():
        if _name.startswith("check_"):
            globals()[_name] = judge(_check)
            __all__.append(_name)
