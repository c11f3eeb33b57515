from t2v_helpers.core.records import GenerationSpec

sketch = GenerationSpec(prompt="a cat is spinning by a lake as a pencil sketch",
                        seed=7, steps=10)
