"""Is the answer right?

Checks of the exercises: `check_NN_k(answer)` says what is wrong with an answer, not only that it is.

Each check gives back a `Verdict`, which a notebook shows as the last line of a cell. A stub raises nothing, so that
"Run All" goes past an exercise that nobody has done yet; an error inside of an answer is shown as Python shows it.
`if verdict:` is true for a right answer.

Imports: core to studies.
Start reading: advice.py, then notebook_00.py.
"""

from t2v_helpers.checks.advice import Verdict, is_missing, tensor_advice
from t2v_helpers.checks.changing.notebook_04 import check_04_1, check_04_2, check_04_3
from t2v_helpers.checks.changing.notebook_05 import check_05_1, check_05_2, check_05_3
from t2v_helpers.checks.changing.notebook_06 import check_06_1, check_06_2, check_06_3
from t2v_helpers.checks.changing.notebook_07 import check_07_1, check_07_2, check_07_3
from t2v_helpers.checks.making.notebook_00 import check_00_1, check_00_2, check_00_3
from t2v_helpers.checks.making.notebook_01 import check_01_1, check_01_2, check_01_3, check_01_4
from t2v_helpers.checks.making.notebook_02 import check_02_1, check_02_2, check_02_3, ddim_step_eta, rescaled
from t2v_helpers.checks.making.notebook_03 import check_03_1, check_03_2, check_03_3
from t2v_helpers.checks.measuring.notebook_09 import check_09_1, check_09_2, check_09_3, check_09_4
from t2v_helpers.checks.measuring.notebook_10 import check_10_1, check_10_2, check_10_3
from t2v_helpers.checks.measuring.notebook_11 import check_11_1, check_11_2, check_11_3

__all__ = [
    "Verdict", "check_00_1", "check_00_2", "check_00_3", "check_01_1", "check_01_2", "check_01_3", "check_01_4",
    "check_02_1", "check_02_2", "check_02_3", "check_03_1", "check_03_2", "check_03_3", "check_04_1", "check_04_2",
    "check_04_3", "check_05_1", "check_05_2", "check_05_3", "check_06_1", "check_06_2", "check_06_3", "check_07_1",
    "check_07_2", "check_07_3", "check_09_1", "check_09_2", "check_09_3", "check_09_4", "check_10_1", "check_10_2",
    "check_10_3", "check_11_1", "check_11_2", "check_11_3", "ddim_step_eta", "is_missing", "rescaled", "tensor_advice",
]  # fmt: skip
