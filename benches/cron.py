"""cron: how long after second 0 a job of each minute runs; all side by side over the same minutes."""

import os
import shutil
import time
from contextlib import ExitStack

import packages
from arena import Container, probe
from contenders import Contender

# Debian's cron takes its tables and its pid file from fixed places: PID 1's mount namespace is its own.
DEBIAN = """
mount -t tmpfs none /run && mount -t tmpfs none /var/spool && mkdir -p /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d && touch /etc/cron.d/none && mount --bind /etc/cron.d/none /etc/crontab
cp crontabs/root /var/spool/cron/crontabs && chmod 600 /var/spool/cron/crontabs/root
exec cron -f
"""


def cron(table, quick):
    init = Contender("init", lambda d, n: [table.binary, "--config", init_toml(d)])
    ways = [init]
    if shutil.which("cron"):
        ways.append(Contender("cron", lambda d, n: ["sh", "-ec", f"cd {crontab(d)}\n{DEBIAN}"]))
    if busybox := packages.busybox():
        ways.append(Contender("busybox crond", lambda d, n: [busybox, "crond", "-f", "-c", f"{crontab(d)}/crontabs"]))
    table.notes += [f"{name} is missing: its package could not be had here" for name in missing(ways)]
    # What CLOCK_MONOTONIC calls second 0 of the first full minute, in nanoseconds.
    if time.time() % 60 > 55:
        time.sleep(60 - time.time() % 60)
    epoch = time.monotonic_ns() - time.time_ns()
    first = (time.time_ns() // 60_000_000_000 + 1) * 60_000_000_000 + epoch
    minutes = 1 if quick else 3
    with ExitStack() as stack:
        containers = [(way, stack.enter_context(Container(way, 1, "once"))) for way in ways]
        time.sleep((first - time.monotonic_ns()) / 1e9 + 60 * (minutes - 1) + 5)
        for way, container in containers:
            ran = [at for what, at in container.events() if what == "start"]
            for at in ran:
                table.add("tick", way, (at - first) / 1e6 % 60_000)
            if len(ran) != minutes:
                table.remark("tick", way, f"{len(ran)} of {minutes} ran")


def missing(ways):
    return {"cron", "busybox crond"} - {way.name for way in ways}


def init_toml(directory):
    file = directory / "init.toml"
    file.write_text(
        f'preset = "none"\nstate-dir = "{directory}/state"\nwork-dir = "/"\n'
        f'[cron.job]\nschedule = "* * * * *"\ncommand = ["{probe()}"]\n'
    )
    return str(file)


def crontab(directory):
    """cron's jobs do not get its own environment."""
    (directory / "crontabs").mkdir()
    table = directory / "crontabs/root"
    table.write_text(f"* * * * * PROBE=once PROBE_FIFO={directory.parent}/fifo {probe()}\n")
    os.chmod(table, 0o600)
    return directory
