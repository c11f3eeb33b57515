"""The course's own pages, from the HTML in templates/: whatever is filled in is escaped there."""

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=PackageLoader("t2v_helpers.course"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip


def render(template: str, **values) -> str:
    """The page that a file of templates/ makes of `values`."""
    return _TEMPLATES.get_template(template).render(values)
