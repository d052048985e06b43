"""Workers follow the load: by KEDA and by an HPA, up and down, and nothing is lost."""

import json
import re
import statistics
import time

from load import Load, judge
from place import Place, merged
from tools import Failed

# What limits a worker is what it may have in flight, not the processors of a small node.
LATENCY_MS, IN_FLIGHT = 200, 32
NAMES, EVERY, SECONDS = 2_400, 3.0, 100
MOST = 6
# Against linear in the workers, where lookups wait for them.
SHARE = 0.7
LIMITED = [
    {"name": "KUDZU_WORKER__LOOKUPS", "value": str(IN_FLIGHT)},
]
SETTINGS = {
    "config": {"dns": {"timeout_ms": 10000}, "coordinator": {"task_questions": 64}},
    "devServices": {"simnet": {"scale": 0.01, "latencyMs": LATENCY_MS}},
}


def arms(tools):
    keda = {"mode": "keda", "maxReplicas": MOST, "scaleDownSeconds": 20}
    all_arms = {
        "keda-seconds": {**keda, "keda": {"signal": "seconds"}},
        "keda-queue": {**keda, "keda": {"signal": "queue"}},
        # Whoever waits for answers uses little: a usual target would never be reached.
        "hpa-cpu": {"mode": "hpa", "maxReplicas": MOST, "scaleDownSeconds": 20, "hpa": {"cpuPercent": 15}},
    }
    known = tools.has("keda.sh")
    return {name: auto for name, auto in all_arms.items() if known or not name.startswith("keda")}


def run(tools, table, keep):
    done = {}
    for name, auto in arms(tools).items():
        with Place(tools, f"scaling-{name}", keep) as place:
            done[name] = arm(place, table, f"scaling {name}", auto)
    if "keda-seconds" not in done:
        table.note("scaling", "KEDA", "installed", "no keda.sh in this cluster", False)
        return
    for name, seen in done.items():
        print(f"scaling {name}: {seen}", flush=True)


def arm(place, table, part, auto):
    place.install(merged(SETTINGS, {"workers": {"dns": {"autoscaling": auto, "extraEnv": LIMITED}}}))
    place.client()

    def words(_):
        # Longer than the plan's: late workers are to be seen as time, not as jobs cut short.
        return ["--enrich", "--source", "dns.name", "--allow-private", "--deadline", "15m", "-"]

    def names(number):
        return "".join(f"n{number}-{n}.load.example\n" for n in range(NAMES))

    watch = Watch(place)
    with Load(place, EVERY, words, names) as load:
        watch.until(lambda s: s["at"] >= SECONDS, SECONDS + 30)
        load.stop()
        # What waits is worked off, then the workers go.
        watch.until(lambda s: s["waiting"] == 0, 300)
        worked = watch.samples[-1]["at"]
        watch.until(lambda s: s["wanted"] == 1 and s["ready"] == 1, 240)
    jobs = judge(table, part, place, load, None)
    nodes = sum((jobs[one].get("result") or {}).get("nodes", 0) for one in load.ids)
    table.note(part, "names in all trees", NAMES * len(load.ids), nodes, nodes == NAMES * len(load.ids))
    most, last = max(s["ready"] for s in watch.samples), watch.samples[-1]
    table.note(part, "workers at most", MOST, most, most == MOST)
    table.note(part, "workers at the end", 1, last["wanted"], last["wanted"] == 1 and last["ready"] == 1)
    curve = watch.curve()
    table.note(part, "lookups a second by workers", f"at {MOST} at least {SHARE:.0%} of linear",
               ", ".join(f"{n}: {rate:.0f}" for n, rate in curve.items()),
               1 in curve and most in curve and curve[most] >= SHARE * most * curve[1])
    first = next((s["at"] for s in watch.samples if s["ready"] > 1), None)
    table.note(part, "restarts of containers", "none", place.restarts() or "none", not place.restarts())
    ready = [s["at"] for s in watch.samples if s["ready"] == most]
    return {"second_worker_s": first, "all_workers_s": ready[0] if ready else None, "worked_s": worked,
            "worker_seconds": watch.worker_seconds()}


class Watch:
    """Looks at the set of workers every two seconds: how many, what they answered, what waits."""

    def __init__(self, place):
        self.place, self.begin, self.samples = place, time.monotonic(), []
        # By worker, what it had answered when it was first seen, and when last.
        self.answered = {}

    def until(self, what, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sample = self.look()
            self.samples.append(sample)
            if what(sample):
                return
            time.sleep(1)

    def look(self):
        self.place.restarts()
        deployment = self.place.get("deployment", f"{self.place.release}-worker-dns")
        for pod in self.place.pods("worker-dns"):
            name = pod["metadata"]["name"]
            if all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}])):
                count = self.lookups(name)
                first, last = self.answered.get(name, (count, count))
                self.answered[name] = first, max(last, count)
        return {
            "at": time.monotonic() - self.begin,
            "wanted": deployment["spec"]["replicas"],
            "ready": deployment["status"].get("readyReplicas", 0),
            "answered": sum(last - first for first, last in self.answered.values()),
            "waiting": self.waiting(),
        }

    def lookups(self, pod):
        """Of one that ends meanwhile, nothing."""
        try:
            text = self.place.raw(pod, 8081, "/metrics")
        except Failed:
            return 0
        return sum(float(value) for value in re.findall(r"^kudzu_lookups_total\{[^}]*\} (\S+)$", text, re.M))

    def waiting(self):
        """Lookups that wait in the whole cluster."""
        coordinator = self.place.pods("coordinator")[0]["metadata"]["name"]
        return json.loads(self.place.raw(coordinator, 8080, "/scaling?class=dns"))["waiting_lookups"]

    def curve(self):
        """Lookups a second by ready workers, the median of pairs of looks while some waited."""
        rates = {}
        for before, after in zip(self.samples, self.samples[1:]):
            took = after["at"] - before["at"]
            if before["ready"] == after["ready"] and min(before["waiting"], after["waiting"]) > 0 and took > 0:
                rates.setdefault(after["ready"], []).append((after["answered"] - before["answered"]) / took)
        return {n: statistics.median(found) for n, found in sorted(rates.items()) if len(found) > 2}

    def worker_seconds(self):
        pairs = zip(self.samples, self.samples[1:])
        return round(sum(before["ready"] * (after["at"] - before["at"]) for before, after in pairs))
