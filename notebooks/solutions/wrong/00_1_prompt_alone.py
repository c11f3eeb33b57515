# helpful word: Wrap it
sketch = "a cat is spinning by a lake as a pencil sketch"
