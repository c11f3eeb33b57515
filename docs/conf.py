"""The site's settings for Sphinx: `make site` builds it from the notebooks as they are stored, and nothing is run."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

from site_pages import LIVE  # noqa: E402

project = "Videos from words"
copyright = "the authors of the course, Apache License 2.0"
extensions = ["myst_nb", "sphinx_design", "sphinx.ext.mathjax", "site_pages"]
exclude_patterns = ["notebooks/solutions"]

nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

# MathJax draws the formulas, from the site's own folder: one file, whose glyphs are paths, so no font is fetched.
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "local"}}

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static", str(ROOT / "web/node_modules/mathjax/es5/tex-svg.js")]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_extra_path = [str(LIVE)] if LIVE.is_file() else []
html_show_search_summary = False  # it would fetch each page it found, at a megabyte each, and cannot from the disk
html_copy_source = False  # each notebook has a button of its own that downloads it
html_sidebars = {"index": [], "glossary": []}
html_theme_options = {
    "logo": {"text": project},
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
