"""What helm/kudzu/values.yaml says, for chart_readme.py and chart_schema.py."""

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "kudzu"
VALUES = CHART / "values.yaml"

KEY = re.compile(r"^( *)([A-Za-z0-9_]+):")
EXPLAINED = re.compile(r"^ *# -- (.*)$")
MORE = re.compile(r"^ *# (.*)$")


def load():
    """The values themselves."""
    return yaml.safe_load(VALUES.read_text())


def explained():
    """Path and explanation of each key below a line that begins with "# --", in their order."""
    found, path, text = [], [], None
    for line in VALUES.read_text().splitlines():
        if begins := EXPLAINED.match(line):
            text = [begins[1]]
        elif key := KEY.match(line):
            depth = len(key[1]) // 2
            path = path[:depth] + [key[2]]
            if text is not None:
                found.append((tuple(path), " ".join(text)))
            text = None
        elif text is not None and (more := MORE.match(line)):
            text.append(more[1])
        else:
            text = None
    return found


def at(values, path):
    """The value at a path."""
    for key in path:
        values = values[key]
    return values


def leaves(values, path=()):
    """Paths of whatever is no table, and of empty tables."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, path + (key,))
    else:
        yield path


def settle(path, text, check, command):
    """Writes a file that is made from others; with check, says whether it is as it should be."""
    if not check:
        path.write_text(text)
        return 0
    if path.is_file() and path.read_text() == text:
        return 0
    print(f"{path.relative_to(ROOT)} is not what {command} makes of the rest: run {command}", file=sys.stderr)
    return 1
