#!/usr/bin/env python3
"""Makes the JSON schemas that the chart is checked against: strict ones of Kubernetes from its
own API description, those of KEDA and of the Prometheus operator from their definitions. All
come from Go modules, and are kept.

    scripts/kube_schemas.py FOLDER

Needs go in the PATH. What it downloads besides is thrown away.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

import yaml

# Every minor version that the chart is for; the newest patch of each that the proxy has.
KUBERNETES = ["1.30.14", "1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2"]
# Module, version, folder of its definitions.
DEFINITIONS = [
    ("github.com/kedacore/keda/v2", "2.19.0", "config/crd/bases"),
    ("github.com/prometheus-operator/prometheus-operator", "0.85.0", "example/prometheus-operator-crd"),
]
# What the chart makes.
KINDS = {
    "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
    "PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Secret", "Service", "ServiceAccount",
}
CUSTOM = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule"}
INT_OR_STRING = {"anyOf": [{"type": "integer"}, {"type": "string"}]}


class Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):
    """Takes "=" for what it is; PyYAML has no value for that."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


def download(module, version, scratch):
    """The zip of a Go module."""
    environment = os.environ | {"GOMODCACHE": str(scratch / "modules"), "GOFLAGS": "-modcacherw"}
    command = ["go", "mod", "download", "-json", f"{module}@v{version}"]
    done = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True)
    answer = json.loads(done.stdout or "{}")
    if done.returncode != 0 or "Zip" not in answer:
        sys.exit(f"kube_schemas: {module} {version}: {answer.get('Error') or done.stderr.strip()}")
    return zipfile.ZipFile(answer["Zip"])


def strict(schema, definitions=None):
    """A schema without references and words, in which no table takes what is not in it."""
    if reference := schema.get("$ref"):
        return strict(definitions[reference.rsplit("/", 1)[1]], definitions)
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return INT_OR_STRING
    kept = {key: schema[key] for key in ("type", "enum", "required", "pattern") if key in schema}
    if "properties" in schema:
        below = schema["properties"].items()
        kept["properties"] = {key: strict(value, definitions) for key, value in below}
        kept["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields", False))
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = strict(schema["additionalProperties"], definitions)
    if "items" in schema:
        kept["items"] = strict(schema["items"], definitions)
    return kept


def keep(folder, group, version, kind, schema):
    """Writes a schema where kubeconform looks for it."""
    schema = dict(schema)
    api = f"{group}/{version}" if group else version
    for field, value in (("apiVersion", api), ("kind", kind)):
        schema["properties"][field] = {"const": value}
    schema["required"] = sorted({*schema.get("required", []), "apiVersion", "kind", "metadata"})
    group = f"-{group.split('.')[0]}" if group else ""
    name = f"{kind}{group}-{version}.json".lower()
    (folder / name).write_text(json.dumps(schema, separators=(",", ":")))


def kubernetes(version, folder):
    """The kinds that the chart makes, as this version has them."""
    scratch = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix="part."))
    try:
        swagger = f"k8s.io/kubernetes@v{version}/api/openapi-spec/swagger.json"
        definitions = json.loads(download("k8s.io/kubernetes", version, scratch).read(swagger))["definitions"]
        found = set()
        for schema in definitions.values():
            for what in schema.get("x-kubernetes-group-version-kind", []):
                if what["kind"] in KINDS and "properties" in schema and "metadata" in schema["properties"]:
                    keep(folder, what["group"], what["version"], what["kind"], strict(schema, definitions))
                    found.add(what["kind"])
        if KINDS - found:
            sys.exit(f"kube_schemas: Kubernetes {version} has no {', '.join(sorted(KINDS - found))}")
    finally:
        shutil.rmtree(scratch)


def definitions(folder):
    """The custom kinds that the chart makes."""
    found = set()
    for module, version, where in DEFINITIONS:
        scratch = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix="part."))
        try:
            archive = download(module, version, scratch)
            start = f"{module}@v{version}/{where}/"
            for name in archive.namelist():
                if name.startswith(start) and name.endswith(".yaml"):
                    found |= custom(archive.read(name), folder)
        finally:
            shutil.rmtree(scratch)
    if CUSTOM - found:
        sys.exit(f"kube_schemas: there is no definition of {', '.join(sorted(CUSTOM - found))}")


def custom(text, folder):
    """The schemas in one file of definitions."""
    found = set()
    for document in yaml.load_all(text, Loader):
        if not document or document["spec"]["names"]["kind"] not in CUSTOM:
            continue
        kind, group = document["spec"]["names"]["kind"], document["spec"]["group"]
        for version in document["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            keep(folder, group, version["name"], kind, schema)
        found.add(kind)
    return found


def main():
    folder = pathlib.Path(sys.argv[1])
    # What a run that was ended left.
    for rest in folder.glob("part.*"):
        shutil.rmtree(rest)
    parts = [(f"v{version}", lambda part, version=version: kubernetes(version, part)) for version in KUBERNETES]
    for name, make in [("custom", definitions), *parts]:
        if (folder / name).is_dir():
            continue
        print(f"kube_schemas: {name}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        # Made beside its place: a half-made folder is none.
        part = pathlib.Path(tempfile.mkdtemp(dir=folder, prefix="part."))
        try:
            make(part)
            part.chmod(0o755)
            part.rename(folder / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


if __name__ == "__main__":
    main()
