"""Text to video, taught from scratch: the helpers behind the notebooks, a folder for each question.

A folder imports only from those to its left (pyproject.toml holds the contract, `make lint` checks it):

    core < machine < cartoon < diffusion < inside < model < metrics < show < training < studies < checks < course < cli

Each folder's docstring says what it answers and where to start reading. CONTRIBUTING.md has the whole map.
Importing the package itself takes milliseconds: it loads neither torch nor diffusers.
"""

__version__ = "0.1.0"
