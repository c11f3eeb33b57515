"""Tables as text: in Markdown, and in aligned columns for a terminal."""

from collections.abc import Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table: a row of titles, then `rows` of as many cells."""
    titles = f"| {' | '.join(head)} |".replace("|  |", "| |")
    return "\n".join([titles, "|---" * len(head) + "|", *(f"| {' | '.join(map(str, cells))} |" for cells in rows)])


def aligned(rows: Iterable[Sequence], right: bool = False) -> str:
    """Rows of as many cells in aligned columns, two spaces apart; `right` aligns all but the first to the right."""
    rows = [[str(cell) for cell in cells] for cells in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    others = str.rjust if right else str.ljust
    lines = ([cells[0].ljust(widths[0]), *map(others, cells[1:], widths[1:])] for cells in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in lines)
