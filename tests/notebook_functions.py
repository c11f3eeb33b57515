"""The functions that a notebook defines, for the tests that hold them against the package."""

import ast
from pathlib import Path

import nbformat


def nodes(notebook: Path) -> list[ast.stmt]:
    """Every statement of a notebook's code cells, exercises left out."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = [c.source for c in cells if c.cell_type == "code" and "exercise" not in c.metadata.get("tags", [])]
    return [node for source in code for node in ast.parse(source).body]


def functions(notebook: Path) -> list[ast.FunctionDef]:
    """Every function that a notebook defines, exercises left out."""
    return [node for node in nodes(notebook) if isinstance(node, ast.FunctionDef)]


def source(found: list[ast.stmt]) -> str:
    """The statements as source, to be run."""
    return "\n".join(map(ast.unparse, found))
