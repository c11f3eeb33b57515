# helpful word: the style 'plain'
from t2v_helpers.core.records import GenerationSpec

sketch = GenerationSpec(prompt="a cat is spinning by a lake", seed=7, steps=10)
