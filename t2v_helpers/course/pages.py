"""A notebook as a page that needs no network: formulas are MathML, which a browser shows by itself."""

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

SCRIPTS = ("mathjax", "require_js", "jquery", "widget_renderer", "mermaid_js", "mermaid_layout_elk_js")
# On top of JupyterLab's look: code and prompts that can be read, links that stand out, pixels that stay square.
LOOK = """<style>
body { --jp-cell-editor-background: white }
.jp-InputPrompt, .jp-OutputPrompt { color: #555 !important; opacity: 1 !important }
.jp-RenderedMarkdown a { text-decoration: underline !important }
video { image-rendering: pixelated }
</style>
"""
MARK = LOOK.splitlines()[1]  # which every page here has, and another's has not


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return f"<div>{convert(body, display='block')}</div>"

    def inline_math(self, body: str) -> str:
        return convert(body)


def page(notebook: nbformat.NotebookNode) -> str:
    """The notebook with its outputs as one HTML page; nothing in it is fetched from elsewhere."""
    exporter = HTMLExporter(**{f"{script}_url": "" for script in SCRIPTS}, filters={"markdown2html": html})
    whole = exporter.from_notebook_node(notebook)[0].replace("</head>", f"{LOOK}</head>", 1)
    table = 'data-mime-type="text/markdown"'
    return whole.replace(table, f'tabindex="0" {table}')  # it may be wide: so the keyboard reaches it, and scrolls it


def html(markdown: str) -> str:
    """Markdown as HTML, its formulas as MathML."""
    return MarkdownWithMath(renderer=_Renderer(escape=False)).render(markdown)
