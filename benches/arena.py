"""arena: contenders, and one of them as PID 1 of a fresh namespace."""

import os
import select
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TIMEOUT = 20


def build(work):
    """The two small C programs; `work` is where everything of this run lives."""
    Arena.work = work
    for name in ("floor", "probe_child"):
        subprocess.run(["gcc", "-O2", "-static", "-o", work / name, HERE / f"{name}.c"], check=True)


class Arena:
    work: Path


def probe():
    return str(Arena.work / "probe_child")


def eventually(true, pause=0.02):
    until = time.monotonic() + TIMEOUT
    while not true():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(pause)


@dataclass
class Contender:
    name: str
    command: Callable  # (directory, services) -> what PID 1 executes
    most: int = 10  # services
    restarts: bool = True
    relays: bool = False

    @staticmethod
    def all(init):
        return [
            Contender("init", lambda d, n: [init, "--config", init_toml(d, n)], relays=True),
            Contender("floor", lambda d, n: [str(Arena.work / "floor"), str(n), probe()]),
            Contender("tini", lambda d, n: ["tini", "--", probe()], most=1, restarts=False),
            Contender("s6", lambda d, n: ["s6-svscan", s6(d, n)]),
            Contender("supervisord", lambda d, n: ["supervisord", "-c", supervisord(d, n)], relays=True),
        ]


def init_toml(directory, services, extra=""):
    """`reset-after`: what has lived for a second is restarted without a delay, as with the others."""
    file = directory / "init.toml"
    text = f'preset = "none"\nstate-dir = "{directory}/state"\nwork-dir = "/"\n{extra}'
    for n in range(services):
        text += f'[service.s{n}]\ncommand = ["{probe()}"]\nbackoff = {{ reset-after = "1s" }}\n'
    file.write_text(text)
    return str(file)


def supervisord(directory, services):
    file = directory / "supervisord.conf"
    text = "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
    text += f"pidfile={directory}/supervisord.pid\n"
    for n in range(services):
        text += f"[program:s{n}]\ncommand={probe()}\nstdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\n"
        text += "redirect_stderr=true\n"
    file.write_text(text)
    return str(file)


def s6(directory, services):
    for n in range(services):
        service = directory / f"s{n}"
        service.mkdir()
        (service / "run").symlink_to(probe())
    return str(directory)


class Container:
    """A contender that runs. As a context manager it ends with the block, whatever happens."""

    def __init__(self, contender, services, what, sink=0, env=None):
        self.name = contender.name
        self.directory = Path(tempfile.mkdtemp(dir=Arena.work))
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        self.fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self.unread = b""
        services_directory = self.directory / "services"
        services_directory.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "PROBE_FIFO": str(fifo), "PROBE": what, **(env or {}),
        }  # fmt: skip
        self.sink, stdout = None, subprocess.DEVNULL
        self.log, log = os.pipe()
        os.set_blocking(self.log, False)
        if sink:
            stdout, write = os.pipe()
            self.sink = subprocess.Popen(
                [probe()], stdin=stdout, env={**environment, "PROBE": f"read {sink}"}, stdout=subprocess.DEVNULL
            )
            os.close(stdout)
            stdout = write
            assert self.event("start")
        self.unshare = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", probe(), "exec",
             *contender.command(services_directory, services)],
            env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log if not sink else stdout, stderr=log,
        )  # fmt: skip
        os.close(log)
        if sink:
            os.close(stdout)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            print(f"--- {self.name}:\n{self.output()}")
        self.unshare.kill()
        self.unshare.wait()
        if self.sink:
            self.sink.wait()
        os.close(self.fifo)
        os.close(self.log)

    def output(self):
        try:
            return os.read(self.log, 1 << 20).decode(errors="replace")
        except BlockingIOError:
            return ""

    def event(self, what):
        """When `what` happened next, in nanoseconds."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            line, found, rest = self.unread.partition(b"\n")
            if found:
                self.unread = rest
                word, at = line.split()
                if word.decode() == what:
                    return int(at)
                continue
            if select.select([self.fifo], [], [], 1)[0]:
                self.unread += os.read(self.fifo, 65536)
        raise TimeoutError(f"{self.name}: no {what}")

    def events(self):
        """What happened so far."""
        while select.select([self.fifo], [], [], 0)[0]:
            self.unread += os.read(self.fifo, 65536)
        lines, self.unread = self.unread.split(b"\n")[:-1], b""
        return [(word.decode(), int(at)) for word, at in map(bytes.split, lines)]

    @property
    def pid(self):
        """PID 1, as the machine sees it."""
        return int(children(self.unshare.pid)[0])

    def stop(self):
        """SIGTERM to the end of PID 1, in milliseconds."""
        handle = os.pidfd_open(self.pid)
        began = time.monotonic_ns()
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        ended, _, _ = select.select([handle], [], [], TIMEOUT)
        took = (time.monotonic_ns() - began) / 1e6
        os.close(handle)
        if not ended:
            raise TimeoutError(f"{self.name} does not stop")
        return took

    def own(self):
        """The contender's processes: all but the services."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            queue.extend(children(pid))
            if os.path.realpath(f"/proc/{pid}/exe") != probe():
                found.append(pid)
        return found

    def memory(self):
        """RSS, PSS and private dirty memory in kB."""
        total = {"rss": 0, "pss": 0, "dirty": 0}
        words = {"Rss:": "rss", "Pss:": "pss", "Private_Dirty:": "dirty"}
        for pid in self.own():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if (word := words.get(line.split()[0])) is not None:
                    total[word] += int(line.split()[1])
        return total

    def switches(self):
        """Context switches of all threads so far."""
        count = 0
        for pid in self.own():
            for task in Path(f"/proc/{pid}/task").iterdir():
                for line in (task / "status").read_text().splitlines():
                    if "ctxt_switches" in line:
                        count += int(line.split()[1])
        return count

    def cpu(self):
        """Nanoseconds on a CPU, of all threads of the contender's own processes."""
        tasks = [task for pid in self.own() for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)

    def is_at_rest(self):
        before = self.cpu()
        time.sleep(0.05)
        return self.cpu() == before


def children(pid):
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
