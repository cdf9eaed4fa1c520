"""report: samples in, one Markdown table out."""

import os
import platform
import random
import statistics
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from contenders import supervisors
from rows import NOTES, ROWS

# What nobody can do for less.
FLOORS = ("floor", "floor-vfork", "shell")


class Table:
    def __init__(self, binary, programs, notes):
        self.binary = binary
        self.programs = programs
        self.contenders = supervisors(binary, programs)
        self.init = self.contenders[0]
        self.notes = notes
        self.samples = {}
        self.remarks = {}

    def able(self, services):
        """Those that can run so many."""
        return [c for c in self.contenders if c.most >= services]

    def add(self, key, contender, value):
        self.add_named(key, contender.name, value)

    def add_named(self, key, name, value):
        self.samples.setdefault(key, {}).setdefault(name, []).append(value)

    def total(self, key, contender, value):
        """One sum instead of many samples."""
        sums = self.samples.setdefault(key, {}).setdefault(contender.name, [0])
        sums[0] += value

    def remark(self, key, contender, text):
        """What stands in the cell instead of, or after, a number."""
        self.remarks.setdefault(key, {})[contender.name] = text

    def medians(self, key):
        return {name: statistics.median(values) for name, values in self.samples.get(key, {}).items()}

    def compare(self, key, above, below):
        """How many times more one row's median is than another's."""
        others = self.medians(below)
        for name, value in self.medians(above).items():
            if others.get(name):
                self.add_named(key, name, value / others[name])

    @contextmanager
    def attempt(self, key, contender):
        """Nobody's failure is the end of a run: it is a result."""
        try:
            yield
        except (TimeoutError, OSError) as error:
            print(f"{key}: {contender.name}: {error}", file=sys.stderr)
            self.remark(key, contender, "failed")

    def rounds(self, key, contenders, count, sample, seconds_each=0):
        """Every contender `count` times, in rounds of shuffled order; a slow one no more once `seconds_each` are spent."""
        spent = {}
        for _ in range(count):
            for contender in random.sample(contenders, len(contenders)):
                if seconds_each and spent.get(contender.name, 0) > seconds_each:
                    continue
                if "failed" in self.remarks.get(key, {}).get(contender.name, ""):
                    continue
                began = time.monotonic()
                with self.attempt(key, contender):
                    sample(contender)
                spent[contender.name] = spent.get(contender.name, 0) + time.monotonic() - began

    def markdown(self, versions, seconds):
        names = [contender.name for contender in self.contenders]
        head = ["", "unit", "init", "ratio to best peer", "to floor", "target", *names[1:], "other"]
        lines = ["# init beside its peers, in one run", "", *machine(self.binary, versions, seconds), ""]
        lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for row in ROWS:
            samples, remarks = self.samples.get(row.key, {}), self.remarks.get(row.key, {})
            if samples or remarks:
                lines.append(line(row, samples, remarks, names))
        return "\n".join([*lines, "", NOTES + "".join(f"- {note}.\n" for note in self.notes)])


def line(row, samples, remarks, names):
    medians = {name: statistics.median(values) for name, values in samples.items()}
    every = list(dict.fromkeys([*samples, *remarks]))
    others = [f"{name}: {cell(samples.get(name), remarks.get(name))}" for name in every if name not in names]
    cells = [cell(samples.get("init"), remarks.get("init")), standing(row, samples, medians)]
    cells += ["–" if row.alone else ratio(medians.get("init"), best(row, [medians[n] for n in FLOORS if n in medians]))]
    cells += [target(row, medians)]
    cells += [cell(samples.get(name), remarks.get(name)) for name in names[1:]]
    return f"| {row.title} | {row.unit} | {' | '.join(cells)} | {'; '.join(others) or '–'} |"


def best(row, values):
    return (max if row.more_is_better else min)(values, default=None)


def standing(row, samples, medians):
    """By how much init is before or behind the best peer, and who that is where it is not behind init."""
    peers = {name: value for name, value in medians.items() if name not in FLOORS and not name.startswith("init")}
    if "init" not in medians or not peers or row.alone:
        return "–"
    first = best(row, peers.values())
    name = next(name for name, value in peers.items() if value == first)
    text = ratio(medians["init"], first).strip("–")
    if medians["init"] == first:
        return f"{text} equal to {name}".strip()
    if best(row, [medians["init"], first]) == medians["init"]:
        return f"{text} first"
    return f"{text} equal to {name}" if overlap(samples["init"], samples[name]) else f"{text} **behind {name}**"


def overlap(own, other):
    """Whether the middle halves of two rows of samples meet: then the difference is noise. Of a few samples, all count."""
    (low, high), (other_low, other_high) = middle(own), middle(other)
    return low <= other_high and other_low <= high


def middle(values):
    if len(values) < 4:
        return min(values), max(values)
    quarters = statistics.quantiles(values, n=4)
    return quarters[0], quarters[2]


def target(row, medians):
    if not row.goal:
        return "–"
    if not row.target or "init" not in medians:
        return row.goal
    try:
        return row.goal + (" ✓" if row.target(medians["init"], medians) else " **missed**")
    except KeyError:
        return row.goal  # who it is compared with takes no part


def ratio(own, other):
    if not own or not other:
        return "–"
    return f"{own / other:.2g}" if own / other < 100 else f"{own / other:.0f}"


def number(value):
    if value and abs(value) < 100:
        return f"{value:.3g}"
    return f"{value:.0f}"


def cell(values, remark=None):
    if not values:
        return remark or "–"
    low, middle, high = (number(f(values)) for f in (min, statistics.median, max))
    text = middle if low == high else f"{middle} ({low}..{high})"
    return f"{text}; {remark}" if remark else text


def machine(binary, versions, seconds):
    cpu = next((l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in l), "?")
    os_name = platform.freedesktop_os_release()["PRETTY_NAME"]
    return [
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; {cpu}, {os.cpu_count()} cores; {os_name},"
        f" kernel {platform.release()}; load {os.getloadavg()[0]:.1f}; the run took {seconds:.0f} s.",
        f"init: static, {os.path.getsize(binary) / 1e6:.1f} MB ({platform.machine()}). Others: {', '.join(versions)}.",
    ]
