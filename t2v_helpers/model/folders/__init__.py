"""The one door for folders from others: which files a part is read from, what they may hold, and the part itself.

A folder of `save_pretrained` has model_index.json and a folder for each part with its config and its weights. Of the
configs only the keys with a rule are read (rules.py), of the tokenizer its vocabulary and merges (bpe.py), and the
weights are safetensors alone (weights.py). So nothing else reaches a library: no code, no other file, no address. A
student's folder has two parts (students.py).

Imports: core to inside.
Start reading: rules.py.
"""

from t2v_helpers.model.folders.bpe import tokenizer, vocabulary
from t2v_helpers.model.folders.rules import (
    AGAIN,
    KIND_OF,
    KINDS,
    LATENT_SCALE,
    LENT,
    PARTS,
    TEACHER,
    Kind,
    check_student,
    config_of,
    configs,
    damaged,
    kinds,
    known,
    published_name,
    read,
    scheduler,
)
from t2v_helpers.model.folders.students import bare_student, check_taught, digits, reads_by, student, student_scheduler
from t2v_helpers.model.folders.weights import bare, check_weights, files_of, part, read_alone, variant
