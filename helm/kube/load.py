"""Jobs that keep coming."""

import concurrent.futures
import itertools
import threading
import time

# Numbers of loads: the same key and the same request would be the same job.
LOADS = itertools.count()
# Of kudzu demo: with it the tree of a job is that of one process.
SALT = "18044138065033078997"
# How often a job is submitted until it is accepted, a second apart.
ATTEMPTS = 60


class Background:
    """What a thread of its own does from the begin of a `with` to its end, or until it is stopped."""

    def __init__(self):
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        self._thread.join()


class Load(Background):
    """Submits a job every so many seconds from its own threads."""

    def __init__(self, place, every, words, stdin=None):
        """`words` and `stdin` are what `kudzu submit` gets; functions of the job's number."""
        super().__init__()
        self.place, self.every, self.words, self.stdin = place, every, words, stdin
        self.key = f"load {next(LOADS)}"
        self.ids, self.again, self.refused = [], 0, []
        self._lock = threading.Lock()

    def _run(self):
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            number = 0
            while not self._stop.wait(max(0.0, begin + number * self.every - time.monotonic())):
                pool.submit(self._submit, number)
                number += 1

    def _submit(self, number):
        """The same key is the same job, so that whoever got no answer may ask again."""
        stdin = self.stdin(number) if self.stdin else None
        words = ["submit", "--detach", "--quiet", "--key", f"{self.key} {number}", *self.words(number)]
        why = ""
        for attempt in range(ATTEMPTS):
            try:
                said = self.place.kudzu(*words, stdin=stdin, timeout=120).split()
                with self._lock:
                    self.ids.append(said[-1])
                    self.again += attempt > 0
                return
            except Exception as error:  # nobody reads what a thread of the pool raises
                why = repr(error)[-300:]
            time.sleep(1)
        with self._lock:
            self.refused.append(why)


class Probe(Background):
    """Asks the API all the time, each time over a new connection, as a user in the cluster."""

    def __init__(self, place):
        super().__init__()
        self.place, self.asked, self.failed, self.longest = place, 0, [], 0.0

    def _run(self):
        while not self._stop.wait(0.2):
            begin = time.monotonic()
            try:
                self.place.kudzu("list", "--limit", "1", "--format", "json", timeout=60)
            except Exception as error:  # nobody reads what a thread raises
                self.failed.append(repr(error)[-300:])
            self.asked += 1
            self.longest = max(self.longest, time.monotonic() - begin)


def pivots(place, scale):
    """What `kudzu submit` gets for the job of the demo's world."""
    seeds, as_of = place.truth(scale)
    words = ["--allow-private", "--at", as_of.removesuffix("T00:00:00Z"), "--salt", SALT, *seeds]
    return lambda _: words


def judge(table, part, place, load, embedded, seconds=300):
    """Every accepted job ended complete, with one tree."""
    jobs = place.ended(load.ids, seconds)
    states, trees = {}, {}
    for one in load.ids:
        job = jobs.get(one, {})
        state = job.get("state", "unknown")
        states[state] = states.get(state, 0) + 1
        tree = (job.get("result") or {}).get("sha256", "none")
        trees[tree] = trees.get(tree, 0) + 1
    table.note(part, "jobs accepted (asked again, never accepted)", "some, all of them",
               f"{len(load.ids)} ({load.again}, {len(load.refused)})", load.ids and not load.refused)
    table.note(part, "ended complete", len(load.ids), states, states == {"complete": len(load.ids)})
    if embedded:
        table.note(part, "SHA-256 of their trees", f"{embedded[:12]} alone", {k[:12]: n for k, n in trees.items()},
                   set(trees) == {embedded})
    return jobs
