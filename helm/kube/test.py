#!/usr/bin/env python3
"""Tests the chart on a real cluster, the one of KUBECONFIG.

    helm/kube/test.py --helm HELM --image ARCHIVE --next ARCHIVE [--values FILE] [--part NAME]...

Needs kubectl, leave to make namespaces and to put images into the cluster (KUBE_IMAGE_LOAD), KEDA,
metrics-server, and a default storage class that gives ReadWriteMany. Prints a table, and exits
with 1 where something is missed.
"""

import argparse
import json
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import first
import guard
import kills
import scaling
import upgrade
import wrong
from tools import Failed, Table, Tools, load

PARTS = {"first": first, "wrong": wrong, "guard": guard, "scaling": scaling, "upgrade": upgrade, "kills": kills}


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--helm", required=True, help="the program, 3 or 4")
    parser.add_argument("--image", required=True, help="OCI archive of the image")
    parser.add_argument("--next", required=True, help="OCI archive of the image that is upgraded to")
    parser.add_argument("--values", help="what every install needs in this cluster: images, storage class")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one (repeatable)")
    parser.add_argument("--out", help="where the table goes, too, as JSON")
    parser.add_argument("--keep", action="store_true", help="leave the namespaces")
    args = parser.parse_args(words)
    table = Table()
    try:
        tools = Tools(args.helm, args.values, load(args.image), load(args.next))
        for name in args.part or PARTS:
            begin = time.monotonic()
            try:
                PARTS[name].run(tools, table, args.keep)
            except Exception as error:  # what the other parts found is not lost for it
                table.note(name, "the part itself", "runs to its end", repr(error)[-500:], False)
            print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    except (Failed, OSError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
        print(f"kube-test: {error}", file=sys.stderr)
        return 2
    print(f"\n{table.text()}\n\n{len(table.rows)} checks, {len(table.missed())} missed")
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(table.rows, file, indent=1)
    return 1 if table.missed() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
