"""kubectl, helm, and what they say."""

import json
import os
import pathlib
import shlex
import subprocess
import tarfile
import time

CHART = pathlib.Path(__file__).resolve().parent.parent / "kudzu"
# Where the API server's own checks stop: a pod that asks for more is not made.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Failed(Exception):
    """A command that had to work did not."""


def attempt(words, stdin=None, timeout=300):
    """Runs a command that may fail."""
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout)


def run(words, stdin=None, timeout=300):
    """Runs a command that has to work; what it wrote to standard output."""
    done = attempt(words, stdin, timeout)
    if done.returncode != 0:
        raise Failed(f"{shlex.join(map(str, words))[:300]}: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout


class Tools:
    """One helm, the cluster of KUBECONFIG, and the two images."""

    def __init__(self, helm, values, image, following):
        self.helm, self.values = helm, values
        self.image, self.following = image, following

    def kubectl(self, *words, **how):
        return run(["kubectl", *words], **how)

    def get(self, *words):
        """Objects as `kubectl get -o json` has them."""
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def has(self, group):
        """Whether the cluster knows an API group."""
        return any(line.startswith(group + "/") for line in self.kubectl("api-versions").split())


def load(archive):
    """Puts an image into the cluster with KUBE_IMAGE_LOAD; its name."""
    with tarfile.open(archive) as tar:
        index = json.load(tar.extractfile("index.json"))
    notes = index["manifests"][0]["annotations"]
    name = notes.get("io.containerd.image.name") or notes["org.opencontainers.image.ref.name"]
    command = os.environ.get("KUBE_IMAGE_LOAD")
    if not command:
        raise Failed("KUBE_IMAGE_LOAD: write a command that puts an image archive into the cluster; the "
                     "archive's path is added to it: 'kind load image-archive', 'minikube image load'")
    run([*shlex.split(command), str(archive)], timeout=600)
    return name


def until(what, seconds, every=1.0):
    """Waits for something to come true, and not for longer; what it came to, or None."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() >= end:
            return found or None
        time.sleep(every)


class Table:
    """What had to be, and what was."""

    def __init__(self):
        self.rows = []

    def note(self, part, what, wanted, seen, met):
        """Notes a check, and tells it at once."""
        self.rows.append({"part": part, "what": what, "wanted": str(wanted), "seen": str(seen), "met": bool(met)})
        print(f"{part}: {what}: {seen}{'' if met else f'  MISSED, wanted {wanted}'}", flush=True)

    def missed(self):
        return [row for row in self.rows if not row["met"]]

    def text(self):
        """As a table in Markdown."""
        lines = ["| part | what | wanted | seen | |", "|---|---|---|---|---|"]
        for row in self.rows:
            cells = [row["part"], row["what"], row["wanted"], row["seen"], "met" if row["met"] else "**missed**"]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines)
