#!/usr/bin/env python3
"""Checks the chart without a cluster.

    helm/tests/check.py --helm HELM [--helm ANOTHER] --kubeconform KUBECONFORM --schemas FOLDER

For each Helm: lint, every file of ci/ rendered, valid against each version of Kubernetes, what
refused.yaml lists refused, and what cases/ says of single values. Whatever is rendered is true to
invariants.py.
"""

import argparse
import ipaddress
import json
import pathlib
import re
import subprocess
import sys

import yaml

import invariants
from chart import CHART, CI, Failed, Loader, OLDEST, ROOT, Strict, look, notes, objects, render

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = re.compile(r"^v1\.(\d+)\.\d+$")


class Report:
    """Counts what held, and keeps what did not."""

    def __init__(self):
        self.held, self.wrong = {}, []

    def note(self, group, name, problems):
        """One check."""
        problems = list(problems)
        self.held[group] = self.held.get(group, 0) + (not problems)
        self.wrong += [f"{group}: {name}: {problem}" for problem in problems]

    def close(self):
        """Says it all; the exit code."""
        for group, held in self.held.items():
            print(f"{group}: {held} held")
        for problem in self.wrong:
            print(f"WRONG {problem}", file=sys.stderr)
        return 1 if self.wrong else 0


def lint(helm, report):
    """Helm's own lint, warnings included, on every file of ci/."""
    for path in CI:
        done = subprocess.run([helm, "lint", "--strict", *OLDEST, CHART, "--values", path], capture_output=True, text=True)
        report.note("lint", path.name, [done.stdout + done.stderr] if done.returncode else [])


def given():
    """Values that have to render: name, files, text on top of them."""
    yield from ((path.name, [path], None) for path in CI)
    shown = re.search(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)[1]
    for word, one in (("ADDRESS", "192.0.2.1"), ("DIGEST", "0" * 64), ("REGISTRY", "registry.example")):
        shown = shown.replace(word, one)
    yield "README.md", [], shown


def matrix(helm, report):
    """Every file of ci/, and what documents show, renders, with no key twice, as the invariants want it."""
    rendered = {}
    for name, values, text in given():
        try:
            text = render(helm, values, text)
            found = objects(text, Strict)
        except (Failed, yaml.YAMLError) as error:
            report.note("render", name, [str(error)])
            continue
        report.note("render", name, [])
        rendered[name] = text
        for rule in invariants.ALL:
            report.note("invariants", f"{name}: {rule.__name__}", rule(found))
    return rendered


def schemas(rendered, kubeconform, folder, report):
    """What was rendered is valid, strictly, from 1.30 to the newest."""
    versions = sorted((p for p in folder.iterdir() if KUBERNETES.match(p.name)), key=lambda p: int(KUBERNETES.match(p.name)[1]))
    minors = [int(KUBERNETES.match(p.name)[1]) for p in versions]
    gaps = [] if minors and minors == list(range(30, minors[-1] + 1)) else [f"versions {minors}"]
    report.note("schemas", "every version from 1.30 on", gaps)
    where = "{{.ResourceKind}}{{.KindSuffix}}.json"
    for version in versions:
        for name, text in rendered.items():
            command = [kubeconform, "-strict", "-summary", "-output", "json"]
            for place in (version, folder / "custom"):
                command += ["-schema-location", f"{place}/{where}"]
            done = subprocess.run([*command, "-"], input=text, capture_output=True, text=True)
            report.note("schemas", f"{version.name} {name}", problems(done, text))


def problems(done, text):
    """What kubeconform found. Nothing may have been skipped."""
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        yield done.stderr or f"kubeconform ended with {done.returncode}"
        return
    for one in answer.get("resources") or []:
        yield f"{one['kind']}/{one['name']}: {one.get('msg', one['status'])}"
    summary, wanted = answer["summary"], len(objects(text))
    if summary["valid"] != wanted:
        yield f"{summary['valid']} of {wanted} are valid"


def refused(helm, report):
    """Wrong values are refused, and it is said why."""
    for case in yaml.load((HERE / "refused.yaml").read_text(), Loader):
        base, values = case.get("base", "minimal"), json.dumps(case["values"])
        extra = ["--skip-schema-validation"] if case.get("skip") else []
        try:
            render(helm, [CHART / "ci" / f"{base}-values.yaml"] if base else [], values, case.get("release", "kudzu"), extra=extra)
            report.note("refused", values, ["was taken"])
        except Failed as error:
            said = " ".join(str(error).split())
            report.note("refused", values, [] if case["says"] in said else [f"said {said!r}, not {case['says']!r}"])


def cases(helm, report):
    """Single values do what they say."""
    for path in sorted((HERE / "cases").glob("*.yaml")):
        for case in yaml.load(path.read_text(), Strict):
            base = case.get("base", "minimal")
            how = (helm, [CHART / "ci" / f"{base}-values.yaml"], json.dumps(case.get("values", {})),
                   case.get("release", "kudzu"), case.get("namespace", "soc"))
            try:
                text = render(*how)
                found = objects(text, Strict)
                told = notes(*how) if "notes" in case else ""
            except (Failed, yaml.YAMLError) as error:
                report.note("cases", case["case"], [str(error)])
                continue
            report.note("cases", case["case"], differences(case, found, told))
            for rule in invariants.ALL:
                report.note("invariants", f"{case['case']}: {rule.__name__}", rule(found))


def differences(case, found, told):
    """What is not as a case has it."""
    yield from inside("NOTES.txt", " ".join(told.split()), case.get("notes", {}))
    if not any(case.get(part) for part in ("has", "lacks", "notes")):
        yield "says nothing"
    for key in case.get("lacks", []):
        if key in found:
            yield f"{key} is there"
    for key, wanted in case.get("has", {}).items():
        if key not in found:
            yield f"{key} is not there, but {', '.join(sorted(found))}"
            continue
        for path, value in (wanted or {}).items():
            seen = look(found[key], path)
            if isinstance(value, dict) and set(value) <= {"contains", "without"}:
                yield from inside(f"{key} {path}", seen if isinstance(seen, list) else str(seen), value)
            elif seen != value:
                yield f"{key} {path} is {seen!r}, not {value!r}"


def inside(where, seen, wanted):
    """What it shall contain and does not, and the other way round."""
    for part in wanted.get("contains", []):
        if part not in seen:
            yield f"{where} is {seen!r}, without {part!r}"
    for part in wanted.get("without", []):
        if part in seen:
            yield f"{where} is {seen!r}, with {part!r}"


def derived(report):
    """What is made from something else is what comes of it now."""
    for script in ("chart_schema.py", "chart_readme.py"):
        done = subprocess.run([sys.executable, ROOT / "scripts" / script, "--check"], capture_output=True, text=True)
        report.note("derived", script, [done.stderr.strip()] if done.returncode else [])
    rust = (ROOT / "shared" / "src" / "observable" / "special.rs").read_text()
    rules = (CHART / "templates" / "network" / "_rules.tpl").read_text()
    four, six = (re.search(rf'special{n}" -}}}}\n(.*)\n', rules)[1].split() for n in (4, 6))
    report.note("derived", "special addresses, IPv4", missing(blocks(rust, "V4"), four))
    report.note("derived", "special addresses, IPv6", missing(blocks(rust, "V6"), six))
    chart = yaml.load((CHART / "Chart.yaml").read_text(), Loader)
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    told = [] if chart["appVersion"] == version else [f"{chart['appVersion']}, and the program is {version}"]
    report.note("derived", "appVersion", told)
    drains = re.findall(r"const DRAIN: Duration = Duration::from_secs\((\d+)\)", "".join(
        (ROOT / "cli" / "src" / "command" / f"{name}.rs").read_text() for name in ("coordinator", "worker")))
    ours = re.search(r'"kudzu.drain" -}}(\d+)', (CHART / "templates" / "_pod.tpl").read_text())[1]
    report.note("derived", "drain time", [] if set(drains) == {ours} else [f"{ours} s, and the programs take {drains}"])
    alerts = yaml.load((CHART / "files" / "alerts.yaml").read_text(), Loader)["alerts"]
    names, pages = {one["alert"] for one in alerts}, {p.stem for p in (ROOT / "docs" / "alerts").glob("Kudzu*.md")}
    report.note("derived", "a page for each alert", sorted(names ^ pages))
    domain = re.compile(r"(docker|quay|ghcr|gcr|registry\.k8s)\.io")
    texts = [p for p in CHART.rglob("*") if p.is_file()]
    named = [f"{p.relative_to(ROOT)} names a registry" for p in texts if domain.search(p.read_text())]
    report.note("derived", "no registry", named)


def blocks(rust, table):
    """The blocks of a table in special.rs."""
    body = re.search(rf"const {table}: .*?= \[(.*?)\n\];", rust, re.DOTALL)[1]
    for digits, length in re.findall(r"\(\[([^]]+)\], (\d+),", body):
        parts = [int(part.strip(), 0) for part in digits.split(",")]
        packed = bytes(parts) if len(parts) == 4 else b"".join(part.to_bytes(2, "big") for part in parts)
        yield ipaddress.ip_network((packed, int(length)))


def missing(wanted, listed):
    """Blocks that no listed one covers. Mapped addresses are IPv4 on the wire."""
    listed = [ipaddress.ip_network(one) for one in listed]
    for block in wanted:
        if str(block) != "::ffff:0.0.0.0/96" and str(block) != "::ffff:0:0/96":
            if not any(block.subnet_of(one) for one in listed):
                yield f"{block} is in no block of the policy"


def with_helm(helm, kubeconform, folder):
    """All checks with one Helm."""
    report = Report()
    lint(helm, report)
    schemas(matrix(helm, report), kubeconform, folder, report)
    refused(helm, report)
    cases(helm, report)
    return report


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--helm", action="append", required=True)
    options.add_argument("--kubeconform", required=True)
    options.add_argument("--schemas", type=pathlib.Path, required=True)
    args = options.parse_args()
    report = Report()
    derived(report)
    code = report.close()
    for helm in args.helm:
        version = subprocess.run([helm, "version", "--short"], capture_output=True, text=True, check=True)
        print(f"Helm {version.stdout.strip()}")
        code |= with_helm(helm, args.kubeconform, args.schemas).close()
    return code


if __name__ == "__main__":
    sys.exit(main())
