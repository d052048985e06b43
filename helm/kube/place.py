"""A namespace with one release in it, and a client that is no part of it."""

import copy
import json
import pathlib

import yaml

from tools import CHART, Failed, RESTRICTED, attempt, run, until

TOKEN = "kudzu_dev_not-for-production"
# What is kudzu's own in a release.
ROLES = ("worker", "coordinator")
# Small enough for a node of two processors, and for many jobs.
BASE = {
    "devServices": {
        "enabled": True,
        "simnet": {
            "scale": 0.05,
            "latencyMs": 20,
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        },
    },
    "coordinator": {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "2Gi"}}},
    "workerDefaults": {"resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "768Mi"}}},
    # The API server fetches metrics for the test.
    "networkPolicy": {"metricsFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
}


def is_ready(pod):
    """Whether a pod is."""
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def merged(*parts):
    """Values on top of values, as Helm puts them."""
    whole = {}
    for part in parts:
        for key, value in (part or {}).items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else copy.deepcopy(value)
    return whole


class Place:
    """As `with Place(tools, "first") as place`: what is in it goes with it."""

    def __init__(self, tools, part, keep=False):
        self.tools, self.keep = tools, keep
        self.name = f"kudzu-test-{part}"
        self.release = "kudzu"
        self.restarted = {}

    def __enter__(self):
        self.tools.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait", timeout=300)
        labels = RESTRICTED
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name, "labels": labels}}
        self.tools.kubectl("create", "-f", "-", stdin=json.dumps(made))
        return self

    def __exit__(self, *_):
        if not self.keep:
            self.tools.kubectl("delete", "namespace", self.name, "--ignore-not-found", "--wait=false")

    def kubectl(self, *words, **how):
        return self.tools.kubectl("-n", self.name, *words, **how)

    def get(self, *words):
        return self.tools.get("-n", self.name, *words)

    def helm(self, *words, **how):
        return run([self.tools.helm, "-n", self.name, *words], **how)

    def values(self, *parts, image=None):
        """All values: the test's, the cluster's, the part's."""
        repository, tag = (image or self.tools.image).rsplit(":", 1)
        named = {"image": {"repository": repository, "tag": tag}}
        of_cluster = {}
        if self.tools.values:
            of_cluster = yaml.safe_load(pathlib.Path(self.tools.values).read_text(encoding="utf-8"))
        return json.dumps(merged(BASE, of_cluster, named, *parts))

    def install(self, *parts, release=None, wait=True):
        words = ["install", release or self.release, str(CHART), "--values", "-"]
        words += ["--wait", "--timeout", "5m"] if wait else []
        return self.helm(*words, stdin=self.values(*parts), timeout=400)

    def refused(self, *parts):
        """What Helm says of values that cannot be; nothing where it takes them."""
        words = [self.tools.helm, "-n", self.name, "install", self.release, str(CHART), "--values", "-"]
        done = attempt(words, stdin=self.values(*parts))
        return done.stderr if done.returncode else ""

    def upgrade(self, *parts, image=None):
        """To other values or another image; waits until all pods are new."""
        words = ["upgrade", self.release, str(CHART), "--values", "-", "--wait", "--timeout", "8m"]
        return self.helm(*words, stdin=self.values(*parts, image=image), timeout=600)

    def pods(self, component=None):
        """Pods of the release that are not on their way out."""
        label = f"app.kubernetes.io/instance={self.release}"
        if component:
            label += f",app.kubernetes.io/component={component}"
        pods = self.get("pods", "-l", label)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def ours(self):
        """Pods of coordinators and workers."""
        return [pod for pod in self.pods() if any(f"-{role}" in pod["metadata"]["name"] for role in ROLES)]

    def restarts(self):
        """How often containers were started again, by container: of all pods that were there when
        it was asked."""
        for pod in self.pods():
            status = pod["status"]
            for one in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
                if one["restartCount"]:
                    self.restarted[f"{pod['metadata']['name']}/{one['name']}"] = one["restartCount"]
        return self.restarted

    def raw(self, pod, port, path):
        """What a pod answers, over the API server."""
        return self.tools.kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:{port}/proxy{path}")

    def client(self, redirect="http://169.254.169.254/latest/meta-data/"):
        """Starts the client: a pod with the program in it, and a simulated internet that keeps it up,
        whose registry redirects to this."""
        restricted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        container = {
            "name": "client",
            "image": self.tools.image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["simnet", "--scale=0.01", "--dns-port=15353", "--rdap-port=18081", "--pdns-port=18082",
                     "--certs-port=18083", f"--redirect={redirect}"],
            "env": [
                {"name": "KUDZU_CLIENT__URL", "value": f"http://{self.release}-coordinator:8080"},
                {"name": "KUDZU_CLIENT__TOKEN", "value": TOKEN},
            ],
            "securityContext": restricted,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
        user = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client"},
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "securityContext": user,
                "containers": [container],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
                "terminationGracePeriodSeconds": 1,
            },
        }
        self.kubectl("create", "-f", "-", stdin=json.dumps(pod))
        self.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=120s", timeout=150)

    def _exec(self, words, stdin):
        flags = ["-i"] if stdin is not None else []
        return ["kubectl", "-n", self.name, "exec", *flags, "client", "--", "kudzu", *words]

    def kudzu(self, *words, stdin=None, timeout=300):
        """Runs the program in the client; what it wrote to standard output."""
        return run(self._exec(words, stdin), stdin, timeout)

    def said(self, *words, stdin=None, timeout=300):
        """The same where it may fail: both of its outputs."""
        return attempt(self._exec(words, stdin), stdin, timeout)

    def jobs(self):
        """Every job by its id, as the API lists them; nothing while nobody answers."""
        done = self.said("list", "--format", "json", "--limit", "500")
        if done.returncode != 0:
            return {}
        return {job["id"]: job for job in json.loads(done.stdout)["jobs"]}

    def ended(self, ids, seconds):
        """Waits until these have ended; all that is known of them."""
        final = ("complete", "partial", "dead")

        def known():
            jobs = self.jobs()
            return jobs if all(jobs.get(i, {}).get("state") in final for i in ids) else None

        return until(known, seconds, every=2.0) or self.jobs()

    def embedded(self, scale):
        """SHA-256 of the tree that one process has of the world of this size."""
        said = self.said("demo", "--scale", str(scale), "--latency", "1")
        for line in (said.stdout + said.stderr).splitlines():
            if line.startswith("SHA-256 of the tree "):
                return line.split()[-1]
        raise Failed(f"kudzu demo says no SHA-256: {said.stderr[-500:]}")

    def truth(self, scale):
        """Where a job starts in the world of this size, and its present."""
        truth = json.loads(self.kudzu("simnet", "truth", "--scale", str(scale)))
        return truth["seeds"], truth["as_of"]
