"""Values that cannot be are refused before anything is made; a broker that is late is waited for."""

import json
import time

from place import Place, is_ready
from tools import until

PART = "wrong"
CI = {"tenant": "soc", "sha256": "0" * 64, "scopes": ["read"]}
GIVEN = {
    "devServices": {"enabled": False},
    "config": {"api": {"tokens": {"ci": CI}}, "dns": {"resolvers": ["192.0.2.53"]}},
    "test": {"enabled": False},
}
# What is written, and what has to be said of it.
CASES = [
    ("a typo in a key", {"coordinatr": {}}, "coordinatr"),
    ("a typo below one", {"workerDefaults": {"autoscaling": {"maxReplica": 3}}}, "maxReplica"),
    ("replicas that are no number", {"coordinator": {"replicas": "three"}}, "replicas"),
    ("a Secret that is not there", {**GIVEN, "broker": {"existingSecret": "nowhere"}}, "there is no Secret nowhere"),
    ("a URL that is none", {**GIVEN, "broker": {"url": "rabbit.example:5672"}}, "broker"),
    ("no broker at all", GIVEN, "broker: there is none"),
    ("a setting that there is not", {"config": {"dns": {"tiemout_ms": 1}}}, "tiemout_ms"),
    ("two coordinators on a claim of one node",
     {"coordinator": {"replicas": 2}, "archive": {"claim": {"accessModes": ["ReadWriteOnce"]}}}, "ReadWriteMany"),
]
# How long a broker is late.
LATE = 45


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        for what, values, says in CASES:
            said = " ".join(place.refused(values).split())
            at = max(said.find(says) - 60, 0)
            table.note(PART, what, f"refused with {says!r}", said[at:at + 150] or "it was taken", says in said)
            if not said:
                place.helm("uninstall", place.release, "--wait")
        made = place.kubectl("get", "deployments,secrets,services,configmaps", "-o", "name").split()
        made = [name for name in made if name != "configmap/kube-root-ca.crt"]
        table.note(PART, "made by refused installs", "nothing", made or "nothing", not made)
        late(place, table)


def late(place, table):
    """Its Service and its pod come when the others have waited for a while."""
    service = f"late-broker.{place.name}.svc"
    url = f"amqp://kudzu:not-for-production@{service}:5672/%2f"
    place.install({"broker": {"url": url}}, wait=False)

    def running():
        pods = place.ours()
        return len(pods) == 3 and all(pod["status"]["phase"] == "Running" for pod in pods)

    until(running, 120)
    time.sleep(LATE)
    states = [pod["status"]["phase"] for pod in place.ours()]
    ready = [is_ready(pod) for pod in place.ours()]
    table.note("late broker", f"after {LATE} s without one", "running, not ready, not restarted",
               f"{states}, ready {ready}, restarts {place.restarts() or 'none'}",
               states == ["Running"] * 3 and not any(ready) and not place.restarts())
    # The broker of another release, under the name that is waited for.
    place.install({"fullnameOverride": "other", "workers": {"dns": {"replicas": 0}, "http": {"replicas": 0}}},
                  release="other", wait=False)
    labels = {"app.kubernetes.io/instance": "other", "app.kubernetes.io/component": "rabbitmq"}
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "late-broker"},
            "spec": {"selector": labels, "ports": [{"port": 5672, "targetPort": "amqp"}]}}
    place.kubectl("create", "-f", "-", stdin=json.dumps(made))
    came = until(lambda: place.ours() and all(is_ready(pod) for pod in place.ours()), 240)
    table.note("late broker", "once it is there", "ready, not restarted",
               f"{'ready' if came else 'not ready'}, restarts {place.restarts() or 'none'}", came and not place.restarts())
    place.helm("uninstall", "other", "--wait")
