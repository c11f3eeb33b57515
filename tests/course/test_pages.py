"""Pages: a notebook as HTML that needs no network."""

import re

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from t2v_helpers.course.pages import page


def test_a_formula_becomes_mathml():
    html = page(new_notebook(cells=[new_markdown_cell("Noise $x_t$, and\n\n$$\\frac{a}{b}$$\n\n`$HOME` stays.")]))
    assert html.count("<math") == 2 and "<mfrac>" in html and "<msub>" in html
    assert "<code>$HOME</code>" in html


def test_nothing_is_fetched_from_elsewhere():
    html = page(new_notebook(cells=[new_markdown_cell("# Title\n\n$x$"), new_code_cell("1 + 1")]))
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html)
    assert not re.findall(r"https?://[^\s\"']*\.js", html)
