"""A notebook as a page that needs no network: formulas are MathML, which a browser shows by itself."""

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

SCRIPTS = ("mathjax", "require_js", "jquery", "widget_renderer", "mermaid_js", "mermaid_layout_elk_js")


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return f"<div>{convert(body, display='block')}</div>"

    def inline_math(self, body: str) -> str:
        return convert(body)


def page(notebook: nbformat.NotebookNode) -> str:
    """The notebook with its outputs as one HTML page; nothing in it is fetched from elsewhere."""
    exporter = HTMLExporter(**{f"{script}_url": "" for script in SCRIPTS}, filters={"markdown2html": _html})
    return exporter.from_notebook_node(notebook)[0]


def _html(markdown: str) -> str:
    return MarkdownWithMath(renderer=_Renderer(escape=False)).render(markdown)
