"""A namespace with one release in it, and a client that is no part of it."""

import copy
import json
import tempfile

import yaml

from tools import CHART, Failed, RESTRICTED, run, until

TOKEN = "kudzu_dev_not-for-production"
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
        """All values in a file: the test's, the cluster's, the part's."""
        repository, tag = (image or self.tools.image).rsplit(":", 1)
        named = {"image": {"repository": repository, "tag": tag}}
        with open(self.tools.values, encoding="utf-8") if self.tools.values else tempfile.TemporaryFile("w+") as file:
            of_cluster = yaml.safe_load(file)
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(merged(BASE, of_cluster, named, *parts), file)
        return file.name

    def install(self, *parts, release=None, wait=True, check=True, timeout="5m"):
        words = ["install", release or self.release, str(CHART), "--values", self.values(*parts)]
        words += ["--wait", "--timeout", timeout] if wait else []
        return self.helm(*words, check=check, timeout=400)

    def upgrade(self, *parts, image=None):
        """To other values or another image; waits until all pods are new."""
        words = ["upgrade", self.release, str(CHART), "--values", self.values(*parts, image=image)]
        return self.helm(*words, "--wait", "--timeout", "8m", timeout=600)

    def pods(self, component=None):
        """Pods of the release that are not on their way out."""
        label = f"app.kubernetes.io/instance={self.release}"
        if component:
            label += f",app.kubernetes.io/component={component}"
        pods = self.get("pods", "-l", label)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def restarts(self):
        """How often containers of the pods there are were started again, by container."""
        counts = {}
        for pod in self.pods():
            status = pod["status"]
            for one in status.get("containerStatuses", []) + status.get("initContainerStatuses", []):
                if one["restartCount"]:
                    counts[f"{pod['metadata']['name']}/{one['name']}"] = one["restartCount"]
        return counts

    def raw(self, pod, port, path):
        """What a pod answers, over the API server."""
        return self.tools.kubectl("get", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}:{port}/proxy{path}")

    def client(self):
        """Starts the client: a pod with the program in it, and a simulated internet that keeps it up."""
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
                     "--certs-port=18083", "--redirect=http://169.254.169.254/latest/meta-data/"],
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

    def kudzu(self, *words, stdin=None, check=True, timeout=300):
        """Runs the program in the client."""
        flags = ["-i"] if stdin is not None else []
        return self.kubectl("exec", *flags, "client", "--", "kudzu", *words, stdin=stdin, check=check, timeout=timeout)

    def jobs(self):
        """Every job by its id, as the API lists them; nothing while nobody answers."""
        done = self.kudzu("list", "--format", "json", "--limit", "500", check=False)
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
        said = self.kudzu("demo", "--scale", str(scale), "--latency", "1", check=False)
        for line in (said.stdout + said.stderr).splitlines():
            if line.startswith("SHA-256 of the tree "):
                return line.split()[-1]
        raise Failed(f"kudzu demo says no SHA-256: {said.stderr[-500:]}")

    def truth(self, scale):
        """Where a job starts in the world of this size, its present, and the salt of the demo."""
        truth = json.loads(self.kudzu("simnet", "truth", "--scale", str(scale)))
        return truth["seeds"], truth["as_of"]
