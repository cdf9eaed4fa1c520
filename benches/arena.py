"""arena: a contender as PID 1 of a fresh PID and mount namespace, and what can be seen of it from outside."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
TIMEOUT = 20


def build(work):
    """The small C programs; `work` is where everything of this run lives. What services write is in memory: a thousand of
    them have thousands of files, and the disk is not what is measured."""
    Arena.work = work
    Arena.state = state = work / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", state], check=True)
    programs = {
        "floor": ["floor.c"],
        "floor-vfork": ["floor.c", "-DFORK=vfork"],
        "probe_child": ["probe_child.c"],
        "sink": ["sink.c"],
    }
    for name, (source, *flags) in programs.items():
        subprocess.run(["gcc", "-O3", "-static", *flags, "-o", work / name, HERE / source], check=True)


class Arena:
    work: Path
    state: Path


def probe():
    return str(Arena.work / "probe_child")


def eventually(true, pause=0.02, seconds=TIMEOUT):
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(pause)


class Container:
    """A contender that runs. As a context manager it ends with the block, whatever happens."""

    def __init__(self, contender, services, what, sink="", env=None):
        self.name = contender.name
        self.directory = Path(tempfile.mkdtemp(dir=Arena.state))
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        self.fifo = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.fifo, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.unread = b""
        services_directory = self.directory / "services"
        services_directory.mkdir()
        path = f"{contender.path}:{os.environ['PATH']}".lstrip(":")
        environment = {"PATH": path, "PROBE_FIFO": str(fifo), "PROBE": what, **(env or {})}
        self.log, log = os.pipe()
        # Nobody reads it meanwhile, and a thousand services are told of in more than a pipe usually holds.
        fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 1 << 20)
        os.set_blocking(self.log, False)
        self.sink, stdout = None, log
        if sink:
            read, stdout = os.pipe()
            self.sink = subprocess.Popen([Arena.work / "sink", *sink.split()], stdin=read, env=environment)
            os.close(read)
            self.event("reading")
        self.unshare = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", probe(), "exec",
             *contender.command(services_directory, services)],
            env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=stdout, stderr=log,
        )  # fmt: skip
        for end in {stdout, log}:
            os.close(end)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            print(f"--- {self.name}:\n{self.output()[-4000:]}", file=sys.stderr)
        self.end()
        os.close(self.fifo)
        os.close(self.log)

    def end(self):
        """PID 1 is gone only when everything in its namespace is; then unshare ends, and then what the sink reads."""
        if self.unshare.poll() is None:
            for pid in children(self.unshare.pid) or [self.unshare.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.unshare.wait()
        if self.sink:
            self.sink.wait()

    def output(self):
        try:
            return os.read(self.log, 1 << 20).decode(errors="replace")
        except BlockingIOError:
            return ""

    def read(self):
        """What is in the FIFO now."""
        try:
            while data := os.read(self.fifo, 65536):
                self.unread += data
        except BlockingIOError:
            pass

    def event(self, what, seconds=TIMEOUT):
        """The number of the next `what`: usually its time in nanoseconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            line, found, rest = self.unread.partition(b"\n")
            if found:
                self.unread = rest
                word, number = line.split()
                if word.decode() == what:
                    return int(number)
            elif select.select([self.fifo], [], [], 1)[0]:
                self.read()
        raise TimeoutError(f"{self.name}: no {what}")

    def all(self, what, count):
        """The numbers of the next `count`, which may come in any order."""
        return sorted(self.event(what) for _ in range(count))

    def events(self):
        """What happened so far."""
        self.read()
        lines, self.unread = self.unread.split(b"\n")[:-1], b""
        return [(word.decode(), int(number)) for word, number in map(bytes.split, lines)]

    @property
    def pid(self):
        """PID 1, as the machine sees it."""
        return children(self.unshare.pid)[0]

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
        """The contender's processes: all but the services and what is no longer running."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            queue.extend(children(pid))
            try:
                if os.readlink(f"/proc/{pid}/exe") != probe():
                    found.append(pid)
            except OSError:
                pass
        return found

    def memory(self):
        """Resident, proportional, private (USS) and private dirty memory in kB."""
        total = {"rss": 0, "pss": 0, "uss": 0, "dirty": 0}
        words = {
            "Rss:": ["rss"],
            "Pss:": ["pss"],
            "Private_Clean:": ["uss"],
            "Private_Dirty:": ["uss", "dirty"],
        }
        for pid in self.own():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                for word in words.get(line.split()[0], []):
                    total[word] += int(line.split()[1])
        return total

    def switches(self):
        """Context switches of all threads so far."""
        count = 0
        for task in tasks(self.own()):
            for line in (task / "status").read_text().splitlines():
                if "ctxt_switches" in line:
                    count += int(line.split()[1])
        return count

    def cpu(self, pids=None):
        """Nanoseconds on a CPU of the contender's own processes, threads that are gone included (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in pids or self.own())

    def is_at_rest(self):
        before = self.cpu()
        time.sleep(0.05)
        return self.cpu() == before


def tasks(pids):
    return [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]


def children(pid):
    """Zombies too."""
    try:
        return [int(child) for task in tasks([pid]) for child in (task / "children").read_text().split()]
    except OSError:
        return []
