"""In a pod: no redirect and no URL leads to the metadata address or inside."""

import json

from place import Place

PART = "guard"
# One's own endpoint inside, whose redirects lead to the metadata address.
OWN = ["--set", "rdap.bootstrap=http://127.0.0.1:18081/bootstrap/", "--set", "rdap.allow_private=true"]


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        place.client()
        redirected(place, table)
        for what, url in (("the metadata address", "http://169.254.169.254/bootstrap/"),
                          ("a private address", "http://10.0.0.1/bootstrap/"),
                          ("the API server by its name", "https://kubernetes.default.svc/bootstrap/")):
            said = asked(place, ["--set", f"rdap.bootstrap={url}"], "example.com")
            table.note(PART, f"a source at {what}", "denied, no connection", said, "denied" in said or "must not" in said)


def redirected(place, table):
    """The registry of the simulated internet redirects every tenth domain."""
    seen = {}
    names = json.loads(place.kudzu("simnet", "truth", "--scale", "0.01"))
    domains = sorted({d["domain"] if isinstance(d, dict) else d for d in names.get("planned", names.get("domains", []))})
    said = asked(place, OWN, *domains)
    table.note(PART, "a redirect to 169.254.169.254", "denied, no connection", said or seen, "denied" in said)


def asked(place, settings, *names):
    """What came of looking up registrations, as the coverage says it."""
    words = ["enrich", "--source", "rdap.domain", "--format", "json", *settings, *names]
    done = place.kudzu(*words, check=False)
    return " ".join((done.stdout + done.stderr).split())[-400:]
