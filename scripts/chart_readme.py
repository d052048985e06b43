#!/usr/bin/env python3
"""Writes the table of values into helm/kudzu/README.md, from the comments of values.yaml.

    scripts/chart_readme.py [--check]

With --check nothing is written, and it fails where the table is old, or a value unexplained.
"""

import json
import sys

from chart_values import CHART, at, explained, leaves, load, settle

BEGIN, END = "<!-- values: scripts/chart_readme.py -->", "<!-- end of values -->"
README = CHART / "README.md"


def shown(value):
    """A default, short enough for a table."""
    text = json.dumps(value, ensure_ascii=False)
    return "see values.yaml" if len(text) > 60 else f"`{text}`"


def unexplained(values, texts):
    """Values that neither have an explanation nor are a part of what has one."""
    known = {path for path, _ in texts}
    return [leaf for leaf in leaves(values) if not any(leaf[:n] in known for n in range(1, len(leaf) + 1))]


def main():
    values, texts = load(), explained()
    if odd := unexplained(values, texts):
        names = ", ".join(".".join(path) for path in odd)
        print(f'values.yaml: nothing explains {names}: write a line "# -- ..." above', file=sys.stderr)
        return 1
    rows = ["| value | default | |", "|---|---|---|"]
    for path, text in texts:
        told = text.replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | {shown(at(values, path))} | {told} |")
    old = README.read_text()
    head, rest = old.split(BEGIN)
    foot = rest.split(END)[1]
    new = head + BEGIN + "\n" + "\n".join(rows) + "\n" + END + foot
    return settle(README, new, "--check" in sys.argv[1:], "scripts/chart_readme.py")


if __name__ == "__main__":
    sys.exit(main())
