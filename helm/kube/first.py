"""From helm install to the first job, by the commands of NOTES.txt alone; then gone without a trace."""

import time

from place import Place
from tools import attempt, until

PART = "first"
WITHIN = 180
# What every namespace has, whoever was in it.
OWN = ("configmap/kube-root-ca.crt", "serviceaccount/default")


def commands(notes):
    """The commands in what helm install prints: indented lines, some of several lines."""
    joined = notes.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.startswith("     ")]
    return [" ".join(line.split()) for line in lines if line.startswith("kubectl ")]


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        install(place, table)
        gone(place, table)


def install(place, table):
    # The world and the requests as a user has them: nothing but the cluster's own values.
    whole = {"devServices": {"simnet": {"scale": 1, "latencyMs": 50}}}
    begin = time.monotonic()
    notes = place.install(whole, wait=False)
    said = ""
    for command in commands(notes):
        done = attempt(["bash", "-c", command])
        said += done.stdout + done.stderr
        table.note(PART, command[:70], "works", "works" if done.returncode == 0 else said[-300:], done.returncode == 0)
    took = time.monotonic() - begin
    trees = [line.split()[-1] for line in said.splitlines() if line.startswith("SHA-256 of the tree ")]
    table.note(PART, "seconds from helm install to the complete tree", f"at most {WITHIN}", f"{took:.0f}",
               trees and took <= WITHIN)
    place.client()
    embedded = place.embedded(1)
    table.note(PART, "SHA-256 of the tree", embedded[:12], (trees or ["none"])[0][:12], trees == [embedded])
    done = attempt([place.tools.helm, "-n", place.name, "test", place.release, "--timeout", "2m"])
    table.note(PART, "helm test", "works", "works" if done.returncode == 0 else done.stderr[-300:], done.returncode == 0)
    table.note(PART, "restarts of containers", "none", place.restarts() or "none", not place.restarts())


def gone(place, table):
    place.kubectl("delete", "pod", "client", "--wait")
    place.helm("uninstall", place.release, "--wait", "--timeout", "3m")
    kinds = place.tools.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    skip = {"events", "events.events.k8s.io", "pods.metrics.k8s.io"}
    kinds = ",".join(kind for kind in kinds if kind not in skip)

    def left_now():
        return [n for n in place.kubectl("get", kinds, "-o", "name", "--ignore-not-found").split() if n not in OWN]

    # Pods may take their grace period.
    until(lambda: not left_now(), 60)
    left = left_now()
    table.note(PART, "left after helm uninstall", "nothing", left or "nothing", not left)
