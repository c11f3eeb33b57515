# helpful word: seed is 0
from t2v_helpers.core.records import GenerationSpec

sketch = GenerationSpec(prompt="a cat is spinning by a lake as a pencil sketch", steps=10)
