"""Pods that go: killed at random for minutes, then each of them evicted, as a drain does."""

import json
import random
import time

from load import Load, judge, pivots
from place import Place
from tools import attempt, until

PART = "kills"
SCALE, EVERY, SECONDS = 0.05, 4.0, 300
# Seconds from one kill to the next.
KILL_EVERY = {"worker": 5.0, "coordinator": 30.0}
TWO = {
    "coordinator": {"replicas": 2},
    "archive": {"claim": {"accessModes": ["ReadWriteMany"]}},
    "workers": {"dns": {"replicas": 2}, "http": {"replicas": 2}},
}


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        place.install(TWO)
        place.client()
        embedded = place.embedded(SCALE)
        with Load(place, EVERY, pivots(place, SCALE)) as load:
            kills = kill(place, SECONDS)
            load.stop()
        table.note(PART, f"pods deleted in {SECONDS} s (workers, coordinators)", "one every 5 s, one every 30 s",
                   f"{kills['worker']}, {kills['coordinator']}", kills["worker"] >= 50 and kills["coordinator"] >= 9)
        judge(table, PART, place, load, embedded)
        with Load(place, EVERY, pivots(place, SCALE)) as load:
            evicted, left = drain(place)
            load.stop()
        table.note("drain", "pods evicted, not evicted", "all", f"{evicted}, {len(left)}", evicted and not left)
        judge(table, "drain", place, load, embedded)


def kill(place, seconds):
    """Every second one is given no time to end."""
    chance, counts = random.Random(7), dict.fromkeys(KILL_EVERY, 0)
    begin, due = time.monotonic(), dict(KILL_EVERY)
    while (at := time.monotonic() - begin) < seconds:
        for role, every in KILL_EVERY.items():
            if at >= due[role]:
                due[role] += every
                names = [pod["metadata"]["name"] for pod in place.pods() if f"-{role}" in pod["metadata"]["name"]]
                if names:
                    hard = ["--grace-period=0", "--force"] if counts[role] % 2 else []
                    words = ["kubectl", "-n", place.name, "delete", "pod", chance.choice(names), "--wait=false", *hard]
                    counts[role] += attempt(words).returncode == 0
        time.sleep(0.2)
    return counts


def drain(place):
    """Evicts every pod of kudzu, one after another; a budget may make one wait."""
    names = [pod["metadata"]["name"] for pod in place.ours()]
    evicted, left = 0, []
    for name in names:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": place.name}}
        path = f"/api/v1/namespaces/{place.name}/pods/{name}/eviction"

        def asked():
            return attempt(["kubectl", "create", "--raw", path, "-f", "-"], json.dumps(body)).returncode == 0

        if until(asked, 180):
            evicted += 1
        else:
            left.append(name)
    return evicted, left
