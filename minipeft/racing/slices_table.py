"""The scores of a race's rows on each slice of its test texts: what a mean over all texts hides."""

from minipeft.racing.table import cell


def slices_table(rows: list[dict]) -> str:
    """Rows by slices in Markdown, in the order of `rows`; "" where no row of the file tells of slices."""
    names = sorted({name for row in rows for name in row.get("slices", {})})
    if not names:
        return ""
    lines = [f"| method | {' | '.join(map(cell, names))} |", "|---|" + "---:|" * len(names)]
    for row in rows:
        found = row.get("slices", {})
        cells = [f"{found[name]:.1f}" if name in found else "-" for name in names]
        lines.append(f"| {cell(row['method'])} | {' | '.join(cells)} |")
    return "\n".join(lines)
