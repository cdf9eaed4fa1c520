"""rows: what stands in the table, in which order, and what init is to reach in each."""

from dataclasses import dataclass
from typing import Callable, Optional


@dataclass
class Row:
    key: str
    title: str
    unit: str
    # (median of init, medians of all by name) -> met
    target: Optional[Callable] = None
    goal: str = ""
    more_is_better: bool = False
    # Nobody is first in it.
    alone: bool = False


def floor(others):
    return min(others[name] for name in ("floor", "floor-vfork") if name in others)


def within(times):
    return {"target": lambda i, o: i <= times * floor(o), "goal": f"≤ {times}× floor"}


def ahead(times):
    """Before every other supervisor, and within so many times a plain fork."""
    supervisors = ("dinit", "s6", "runit", "supervisord", "horust")
    return {
        "target": lambda i, o: i <= times * o["floor"] and all(i < o[name] for name in supervisors if name in o),
        "goal": f"first, ≤ {times}× floor",
    }


def beside_dinit(times):
    return {"target": lambda i, o: i <= times * o["dinit"], "goal": f"≤ {times}× dinit"}


def most(limit):
    return {"target": lambda i, _: i <= limit, "goal": f"≤ {limit}"}


def none_of_any():
    """What goes through init, in any form."""
    return {"target": lambda _, o: not any(o.get(name) for name in ("init", "init prefix", "init json")), "goal": "0"}


ROWS = [
    Row("start1", "exec of PID 1 → first instruction of its child", "ms", **ahead(2)),
    Row("start100", "… of the last of 100", "ms", **beside_dinit(1.3)),
    Row("start1000", "… of the last of 1,000", "ms"),
    Row("cpu-start1", "CPU until then, 1 service", "µs"),
    Row("cpu-start100", "… for each of 100", "µs", **beside_dinit(1.15)),
    Row("cpu-start1000", "… for each of 1,000", "µs"),
    Row("growth-start", "… for each of 1,000 by each of 100 (1: linear)", "×", **most(1.2), alone=True),
    *(
        Row(f"{key}{n}", f"{title}, {n} service{'s' * (n > 1)}", "kB", **(most(limit) if limit and n == 10 else {}))
        for key, title, limit in (
            ("rss", "resident memory", None),
            ("pss", "proportional memory (PSS)", None),
            ("uss", "private memory (USS)", 2400),
            ("dirty", "private dirty memory", None),
        )
        for n in (1, 10, 100)
    ),
    Row("growth-uss", "private memory for each further service, 10 to 100", "kB", **most(10)),
    Row("crash1", "crash after 1.2 s → restarted", "ms", **within(1.5)),
    Row("crash100", "… 100 services", "ms", **within(1.5)),
    Row("cpu-crash1", "CPU for a restart, 1 service", "µs", **most(1500)),
    Row("cpu-crash100", "… 100 services", "µs", **most(1500)),
    Row("growth-crash", "… of 100 by 1", "×", **most(1.2), alone=True),
    Row("abuse", "crash → restarted while init's control socket is abused, 4 services", "ms", **most(2)),
    Row("abuse-ratio", "… by the same at rest", "×", **most(1.5)),
    Row("abuse-rss", "… resident memory that it adds", "kB", **most(4000)),
    Row("stop1", "SIGTERM → end, 1 service", "ms"),
    Row("stop100", "… 100 services", "ms", **beside_dinit(1.3)),
    Row("orphans-peak", "orphans, one after the other: most zombies at once", "", alone=True),
    Row("orphans-cpu", "… CPU for each", "µs", **within(1.5)),
    Row("zombies", "as many zombies, at once → all are reaped", "ms", **within(1.5)),
    Row("zombies-cpu", "… CPU for each", "µs", **within(1.5)),
    Row("idle1", "context switches in 10 s idle, 1 service", "", **most(0)),
    Row("idle100", "… 100 services", "", **most(0)),
    Row("tick", "second 0 → first instruction of a minute's job", "ms"),
    Row("fetch", "`.env` from S3 on loopback (init: whole boot)", "ms", lambda i, o: 10 * i <= o["aws s3 cp"], "≥ 10× faster"),
    Row("boot", "container start → first FastCGI pong, Laravel", "ms", lambda i, o: i <= o["shell"] + 50, "≤ shell + 50"),
    Row("speed-lines", "log relay, writes of a line of 120 B", "MB/s", lambda i, o: i >= o["init inherit"], "≥ inherit", True),
    Row("cpu-lines", "… CPU of PID 1", "s/GB"),
    Row("speed-blocks", "log relay, writes of 32 KiB", "MB/s", more_is_better=True),
    Row("cpu-blocks", "… CPU of PID 1", "s/GB"),
    Row("p50", "log relay, line written → read, 1,000 a second: median", "µs"),
    Row("p99", "… 99th percentile", "µs"),
    Row("torn", "log relay, two writers at once, then a stop: torn lines", "", **none_of_any()),
    Row("lost", "… lost lines", "", **none_of_any()),
]  # fmt: skip

NOTES = """\
Median (min..max) of all samples; each contender is PID 1 of a fresh PID and mount namespace, in rounds of shuffled order.

- *floor*: `benches/floor.c`, fork, exec, wait and kill in C and nothing else; *floor-vfork*: the same with vfork. *To floor* is
  init by the better of them.
- *ratio to best peer*: init by the best of the others, floors left out (or by `aws s3 cp`, cron). Below 1 init is better;
  for MB/s above 1. *Equal*: behind, but the middle halves of both contenders' samples overlap.
- *memory*: three seconds after the last service has started, of the contender's own processes, which for s6 and runit are one
  more for each service. init is static, so all of its pages are its own in PSS; those of the others share the machine's C
  library, which in a container of their own they would not.
- *orphans*: 20,000, with `--quick` 5,000; first each the child of a child that ends, then the zombies of one parent that ends.
- s6 waits a second before any restart, supervisord's loop turns once a second, horust's every 0.3 s.
- runit: SIGTERM ends runsvdir at once, and no service is told. At its start it waits a second when its directory is younger than
  ten; here that is old, as in an image.
- supervisord: one program with `numprocs`. Of a section for each service, it would stop one after the other.
- tini, dumb-init, catatonit start one child, and do not start it again.
- *log relay*: s6 with an `s6-log` for each service, which writes to stdout. What the floor starts, and `init inherit`, has the
  container's own stdout; dinit too, which makes it non-blocking: whoever writes faster than is read loses lines.
- *torn, lost*: 80,000 lines in each of the rounds, one in 100 longer than what a pipe takes in one piece; sums.
- Laravel: *shell* is `artisan optimize && exec php-fpm`, as root, with its `.env` in place, and counts as the floor; *supervisord*
  the same, then `exec supervisord`. init fetches `.env`, checks and places it, makes the directories and drops to www-data before.
"""
