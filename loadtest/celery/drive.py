"""Sends a task for each name of a file, waits for all results, and says how long it took.

    drive.py NAMES OUT

OUT gets `name address...` a line; standard output gets the figures as JSON. The file `begun`
is made when the first task is sent.
"""

import json
import sys
import time

from tasks import app, resolve

PATIENCE = 120  # seconds without any result
AT_ONCE = 500  # results that are read with one command
AGAIN = 0.02  # seconds until what was not there is looked for again


def ready(name):
    """Until a worker has answered: its start is not measured."""
    resolve.apply_async((name,)).get(timeout=PATIENCE)


def send(names):
    """A message each, over one connection."""
    # Nobody waits for a single result: a subscription for each would take half of the time.
    app.backend.on_task_call = lambda producer, task_id: None
    with app.producer_pool.acquire(block=True) as producer:
        return [resolve.apply_async((name,), producer=producer).id for name in names]


def collect(ids):
    """The addresses by task, in order; they come about in the order in which they were asked."""
    backend, end = app.backend, time.monotonic() + PATIENCE
    for start in range(0, len(ids), AT_ONCE):
        part = ids[start : start + AT_ONCE]
        missing, found = part, {}
        while missing:
            values = backend.client.mget([backend.get_key_for_task(id) for id in missing])
            for id, value in zip(missing, values):
                if value is not None:
                    end = time.monotonic() + PATIENCE
                    found[id] = backend.decode_result(value)
            missing = [id for id in missing if id not in found]
            if missing:
                if time.monotonic() > end:
                    sys.exit(f"{len(missing)} tasks of {len(part)} have no result: one of them is {missing[0]}")
                time.sleep(AGAIN)
        for id in part:
            if found[id]["status"] != "SUCCESS":
                sys.exit(f"task {id} is {found[id]['status']}: {found[id]['result']}")
            yield found[id]["result"]


def main():
    with open(sys.argv[1]) as lines:
        names = lines.read().split()
    ready(names[0])
    open("begun", "w").close()
    begin, used = time.monotonic(), time.process_time()
    ids = send(names)
    submitted = time.monotonic()
    results = list(collect(ids))
    end, used = time.monotonic(), time.process_time() - used
    with open(sys.argv[2], "w") as out:
        out.writelines(" ".join([name, *addresses]) + "\n" for name, addresses in zip(names, results))
    figures = {"seconds": end - begin, "submit_seconds": submitted - begin, "processor": used}
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
