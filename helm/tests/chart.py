"""Runs Helm on the chart, and reads what it renders."""

import json
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "helm" / "kudzu"
# What has to be valid whatever else is tried.
CI = sorted((CHART / "ci").glob("*-values.yaml")) + [CHART / "examples" / "kudzu-values.yaml"]
# A Helm that was built by go install takes an old one for the cluster's.
OLDEST = ["--kube-version", "1.30.0"]
Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


class Strict(yaml.SafeLoader):
    """Refuses a key that comes twice: of two, the API server would take one in silence."""


def _mapping(loader, node, deep=False):
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {', '.join(map(str, twice))} comes twice")
    return loader.construct_mapping(node, deep)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda l, n: _mapping(l, n, True))


class Failed(Exception):
    """Helm refused."""


def render(helm, values=(), text=None, release="kudzu", namespace="soc", extra=(), chart=CHART):
    """What `helm template` prints. `values` are files, `text` is YAML on top of them."""
    command = [helm, "template", release, str(chart), "--namespace", namespace, *OLDEST, *extra]
    for path in values:
        command += ["--values", str(path)]
    if text is not None:
        command += ["--values", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return done.stdout


def notes(*args):
    """What NOTES.txt says: rendered in a ConfigMap of a copy, for helm template does not print it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "kudzu"
        shutil.copytree(CHART, copy)
        text = (copy / "templates" / "NOTES.txt").read_text()
        (copy / "templates" / "_notes.tpl").write_text('{{ define "notes" }}' + text + "{{ end }}")
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": {"text": "NOTES"}}
        (copy / "templates" / "notes.yaml").write_text(json.dumps(made).replace('"NOTES"', '{{ include "notes" . | toJson }}'))
        return objects(render(*args, chart=copy))["ConfigMap/notes"]["data"]["text"]


def objects(rendered, loader=Loader):
    """The objects in it by kind and name."""
    found = {}
    for document in yaml.load_all(rendered, loader):
        if document:
            key = f"{document['kind']}/{document['metadata']['name']}"
            if key in found:
                raise yaml.YAMLError(f"{key} comes twice")
            found[key] = document
    return found


def look(value, path):
    """The value at a path of words; a word picks from a list by number or by name. None where
    there is nothing."""
    for word in path.split():
        if isinstance(value, dict):
            value = value.get(word)
        elif isinstance(value, list) and word.isdigit():
            value = value[int(word)] if int(word) < len(value) else None
        elif isinstance(value, list):
            value = next((one for one in value if isinstance(one, dict) and one.get("name") == word), None)
        else:
            return None
    return value


def pods(found):
    """The pod specifications with the labels of their pods, by object."""
    for key, document in found.items():
        if document["kind"] == "Pod":
            yield key, document["metadata"]["labels"], document["spec"]
        elif document["kind"] in ("Deployment", "StatefulSet"):
            template = document["spec"]["template"]
            yield key, template["metadata"]["labels"], template["spec"]


def containers(pod):
    """All containers of a pod."""
    return pod.get("initContainers", []) + pod["containers"]
