"""The ledger as a page."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from t2v_helpers.course.blog.rows import KINDS, Row, counts

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>The ledger of the blog</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 90rem; color: #111 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #bbb; padding: .4rem .6rem .4rem 0; text-align: left; vertical-align: top }}
td.verdict {{ font-weight: bold; white-space: nowrap }}
td.number {{ white-space: nowrap }}
td.why {{ min-width: 22rem }}
video {{ width: 8rem; image-rendering: pixelated; display: block }}
code {{ font-size: 85% }}
</style></head><body>
<h1>The ledger of the blog</h1>
<p>{summary}</p>
{tables}
<h2>Versions</h2>
<p>{versions}</p>
</body></html>
"""
_COLUMNS = ("what", "verdict", "why", "asked", "found")


def page(rows: Sequence[Row]) -> str:
    """The rows as one HTML page that fetches nothing: a table for each kind, in the order of KINDS."""
    kinds = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    tables = "\n".join(_table(kind, [row for row in rows if row.kind == kind]) for kind in kinds)
    summary = "; ".join(f"{verdict}: {n}" for verdict, n in counts(rows).items())
    versions = {f"{name} {version}": None for row in rows for name, version in (row.versions or {}).items()}
    return _PAGE.format(summary=escape(summary), tables=tables, versions=escape(", ".join(versions) or "none recorded"))


def _table(kind: str, rows: list[Row]) -> str:
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    lines = "\n".join(map(_line, rows))
    return f"<h2>{escape(kind.capitalize())}</h2>\n<table><tr>{head}</tr>\n{lines}\n</table>"


def _line(row: Row) -> str:
    movie = f'<video src="{quote(row.video)}" controls loop muted preload="metadata"></video>' if row.video else ""
    asked = _facts(prompt=row.prompt, scheduler=row.scheduler, draw=row.draw, steps=row.steps)
    seconds = None if row.seconds is None else f"{row.seconds:.1f}"
    where = _facts(model=row.model, dtype=row.dtype, device=row.device, seconds=seconds)
    film = _facts(frames=row.frames, fps=None if row.fps is None else f"{row.fps:g}")
    digest = f'<br><code title="{escape(row.sha256)}">{escape(row.sha256[:12])}</code>' if row.sha256 else ""
    return (
        f'<tr><td>{escape(row.subject)}{movie}</td><td class="verdict">{escape(row.verdict)}</td>'
        f'<td class="why">{escape(row.why)}</td><td>{asked}</td><td class="number">{film}<br>{where}{digest}</td></tr>'
    )


def _facts(**values) -> str:
    return "<br>".join(f"{name} {escape(str(value))}" for name, value in values.items() if value is not None)
