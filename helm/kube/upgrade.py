"""Rolled to another image and other settings under load, and back."""

from kills import SCALE, TWO
from load import Load, Probe, judge, pivots
from place import Place, merged

PART = "upgrade"
OTHER = {"logs": "kudzu_coordinator=debug,info", "config": {"coordinator": {"window": 4096}}}


def run(tools, table, keep):
    with Place(tools, PART, keep) as place:
        place.install(TWO)
        place.client()
        embedded = place.embedded(SCALE)
        with Load(place, 3.0, pivots(place, SCALE)) as load, Probe(place) as probe:
            rolled(table, place, "before", tools.image)
            place.upgrade(merged(TWO, OTHER), image=tools.following)
            rolled(table, place, "after helm upgrade", tools.following)
            place.helm("rollback", place.release, "--wait", "--timeout", "8m", timeout=600)
            rolled(table, place, "after helm rollback", tools.image)
            load.stop()
        judge(table, PART, place, load, embedded)
        table.note(PART, "requests to the API (failed, longest)", "none failed",
                   f"{probe.asked} ({len(probe.failed)}, {probe.longest:.1f} s) {probe.failed[:1] or ''}",
                   probe.asked > 20 and not probe.failed)
        table.note(PART, "restarts of containers", "none", place.restarts() or "none", not place.restarts())


def rolled(table, place, when, image):
    """Every pod has this image."""
    place.restarts()
    images = {pod["spec"]["containers"][0]["image"] for pod in place.ours()}
    table.note(PART, f"image {when}", image.rsplit(":", 1)[1], [i.rsplit(":", 1)[1] for i in images], images == {image})
