"""report: samples in, one Markdown table out."""

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional


@dataclass
class Row:
    key: str
    title: str
    unit: str
    # (median of init, median of the others by name) -> met
    target: Optional[Callable] = None
    goal: str = ""
    more_is_better: bool = False


ROWS = [
    Row("start", "exec of PID 1 → first instruction of its child", "ms", lambda i, o: i <= 2 * o["floor"], "≤ 2× floor"),
    *(
        Row(f"{key}{n}", f"{title}, {n} service{'s' * (n > 1)}", "kB", target if n == 10 else None, goal if n == 10 else "")
        for key, title, target, goal in (
            ("rss", "resident memory", lambda i, o: i <= 2000, "≤ 2000"),
            ("pss", "proportional memory (PSS)", None, ""),
            ("dirty", "private dirty memory", lambda i, o: i <= 300, "≤ 300"),
        )
        for n in (1, 3, 10)
    ),
    Row("crash", "crash after 1.2 s → restarted", "ms", lambda i, o: i <= 2, "≤ 2"),
    Row("abuse", "… while its control socket is abused, 4 services", "ms", lambda i, o: i <= 2, "≤ 2"),
    Row("abuse-ratio", "… by the same at rest", "×", lambda i, o: i <= 1.5, "≤ 1.5"),
    Row("abuse-rss", "… resident memory that it adds", "kB", lambda i, o: i <= 4000, "≤ 4000"),
    Row("stop1", "SIGTERM → end, 1 service", "ms"),
    Row("stop10", "SIGTERM → end, 10 services", "ms"),
    Row("idle", "context switches in 10 s idle, 3 services", "", lambda i, o: i == 0, "0"),
    Row("fetch", "`.env` from S3 on loopback (init: whole boot)", "ms", lambda i, o: 10 * i <= o["aws s3 cp"], "≥ 10× faster"),
    Row("boot", "container start → first FastCGI pong, Laravel", "ms", lambda i, o: i <= o["shell"] + 50, "≤ shell + 50"),
    Row("cpu-lines", "log relay, writes of 120 B: CPU of PID 1", "s/GB"),
    Row("speed-lines", "… throughput", "MB/s", more_is_better=True),
    Row("cpu-blocks", "log relay, writes of 32 KiB: CPU of PID 1", "s/GB"),
    Row("speed-blocks", "… throughput", "MB/s", more_is_better=True),
]  # fmt: skip
COLUMNS = ["init", "floor", "tini", "s6", "supervisord"]
NOTES = """\
Median (min..max) of all samples; each contender is PID 1 of a fresh PID and mount namespace, in rounds of shuffled order.

- *floor*: `benches/floor.c`, fork, exec, wait and kill in C and nothing else. Its output is not relayed, nor are tini's and s6's.
- *PID 1's memory*: the contender's own processes, which for s6 are one more for each service. init is static, so all of its
  pages are its own in PSS; those of the others share the machine's C library, which in a container of their own they would not.
- *ratio*: init by the best of tini, s6, supervisord (or `aws s3 cp`, the bare shell), and by the floor. Below 1 init is better; for
  throughput above 1.
- s6 waits a second before any restart, supervisord's loop turns once a second.
- *bare shell*: `artisan optimize && exec php-fpm`, as root, with its `.env` in place; *supervisord*: the same, then `exec supervisord`.
  init fetches `.env`, checks and places it, makes the directories and drops to www-data before.
"""


class Table:
    def __init__(self, contenders):
        self.contenders = contenders
        self.samples = {}

    def add(self, key, contender, value):
        self.add_other(key, contender.name, value)

    def add_other(self, key, name, value):
        self.samples.setdefault(key, {}).setdefault(name, []).append(value)

    def markdown(self, binary, seconds):
        lines = ["# init beside its peers, in one run", "", *machine(binary, seconds), ""]
        lines += [f"| | unit | {' | '.join(COLUMNS)} | other | ratio to best peer | to floor | target |", "|---" * 10 + "|"]
        for row in ROWS:
            if samples := self.samples.get(row.key):
                lines.append(line(row, samples))
        return "\n".join([*lines, "", NOTES])


def line(row, samples):
    medians = {name: statistics.median(values) for name, values in samples.items()}
    own = medians.get("init")
    cells = [cell(samples.get(name)) for name in COLUMNS]
    others = [f"{name}: {cell(values)}" for name, values in samples.items() if name not in COLUMNS]
    peers = [value for name, value in medians.items() if name not in ("init", "floor")]
    best = (max if row.more_is_better else min)(peers, default=None)
    target = row.goal
    if row.target and own is not None:
        target += " ✓" if row.target(own, medians) else " **missed**"
    cells += ["; ".join(others) or "–", ratio(own, best), ratio(own, medians.get("floor")), target or "–"]
    return f"| {row.title} | {row.unit} | {' | '.join(cells)} |"


def ratio(own, other):
    if own is None or not other:
        return "–"
    return f"{own / other:.2g}" if own / other < 100 else f"{own / other:.0f}"


def number(value):
    if value and abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:.0f}"


def cell(values):
    if not values:
        return "–"
    low, middle, high = (number(f(values)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low}..{high})"


def machine(binary, seconds):
    cpu = next((l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in l), "?")
    os_name = platform.freedesktop_os_release()["PRETTY_NAME"]
    size = os.path.getsize(binary) / 1e6
    packages = ["tini", "s6", "supervisor", "awscli", "php-fpm"]
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages], capture_output=True, text=True)
    return [
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; {cpu}, {os.cpu_count()} cores; {os_name},"
        f" kernel {platform.release()}; load {os.getloadavg()[0]:.1f}; the run took {seconds:.0f} s.",
        f"init: static, {size:.1f} MB ({platform.machine()}). Peers: {query.stdout.rstrip(', ')}.",
    ]
