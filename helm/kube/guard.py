"""In a pod: no redirect and no URL leads to the metadata address or inside."""

import collections
import json

from place import Place

PART = "guard"
# One's own endpoint inside, which the settings allow.
OWN = ["--set", "rdap.bootstrap=http://127.0.0.1:18081/bootstrap/", "--set", "rdap.allow_private=true"]
INSIDE = {
    "the metadata address": "http://169.254.169.254/bootstrap/",
    "a private address": "http://10.0.0.1/bootstrap/",
    "the API server by its name": "https://kubernetes.default.svc/bootstrap/",
}


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        for where in ("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://kubernetes.default.svc/"):
            place.client(where)
            truth = json.loads(place.kudzu("simnet", "truth", "--scale", "0.01"))
            # The registry redirects every tenth domain, and answers the others.
            ends = asked(place, OWN, [one["domain"] for one in truth["planned"]])
            failed = {end: n for end, n in ends.items() if end.startswith("failed")}
            table.note(PART, f"redirects to {where}", "all denied, the rest found", dict(ends),
                       set(failed) == {"failed denied"} and ends["found"] > 0)
            place.kubectl("delete", "pod", "client", "--wait")
        place.client()
        for what, url in INSIDE.items():
            ends = asked(place, ["--set", f"rdap.bootstrap={url}"], ["example.com"])
            # Where a connection was tried, it says unreachable or timeout.
            table.note(PART, f"a source at {what}", "denied", dict(ends), ends == {"failed denied": 1})


def asked(place, settings, names):
    """How lookups of registrations ended."""
    words = ["enrich", "--quiet", "--source", "rdap.domain", *settings, "-"]
    done = place.said(*words, stdin="".join(f"{name}\n" for name in names))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return collections.Counter(row["lookups"].get("rdap.domain", "none") for row in rows)
