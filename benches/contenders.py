"""contenders: init, the kernel's floor and the peers: how each is told to run N times the same service as PID 1.

Each is set up for the best that it can do: what can restart without a delay does, and nothing is logged that need not be.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from arena import Arena, probe


@dataclass
class Contender:
    name: str
    command: Callable  # (directory, services) -> what PID 1 executes
    most: int = 1000  # services
    restarts: bool = True
    # For whoever finds its other programs by PATH.
    path: str = ""


@dataclass
class Peer:
    program: str
    package: str
    command: Callable  # (program, directory, services) -> what PID 1 executes
    most: int = 1000
    restarts: bool = True
    from_cargo: bool = False


def supervisors(init, programs):
    """All of the table; `programs`: peer → its program."""
    found = [Contender("init", own(init))]
    for name in ("floor", "floor-vfork"):
        found.append(Contender(name, lambda d, n, name=name: [str(Arena.work / name), str(n), probe()]))
    for name, program in programs.items():
        peer = PEERS[name]
        found.append(Contender(name, bound(peer.command, program), peer.most, peer.restarts, str(Path(program).parent)))
    return found


def relays(init, programs):
    """Those through which a service's stdout goes, and some that hand on their own."""
    relaying = {name: program for name, program in programs.items() if name in ("dinit", "supervisord", "s6")}
    found = [contender for contender in supervisors(init, relaying) if contender.name not in ("floor-vfork", "s6")]
    found += [Contender(f"init {log}", own(init, log)) for log in ("prefix", "json", "inherit")]
    if s6_svscan := programs.get("s6"):
        found.append(Contender("s6", bound(s6_with_log, s6_svscan), path=str(Path(s6_svscan).parent)))
    return found


def own(init, log="plain"):
    return lambda directory, services: [init, "--config", init_toml(directory, services, f'[log]\nformat = "{log}"\n')]


def bound(command, program):
    return lambda directory, services: command(program, directory, services)


def init_toml(directory, services, extra=""):
    """`reset-after`: what has lived for a second is restarted without a delay, as with the others."""
    file = directory / "init.toml"
    text = f'preset = "none"\nstate-dir = "{directory}/state"\nwork-dir = "/"\n{extra}'
    for n in range(services):
        text += f'[service.s{n}]\ncommand = ["{probe()}"]\nbackoff = {{ reset-after = "1s" }}\n'
    file.write_text(text)
    return str(file)


def supervisord(program, directory, services):
    """One program in many processes: programs are stopped one after the other, its processes at once."""
    file = directory / "supervisord.conf"
    text = "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
    text += f"pidfile={directory}/supervisord.pid\nminfds={4 * services + 200}\n"
    text += f"[program:s]\ncommand={probe()}\nnumprocs={services}\nprocess_name=s%(process_num)d\n"
    text += "stdout_logfile=/dev/fd/1\nstdout_logfile_maxbytes=0\nredirect_stderr=true\n"
    file.write_text(text)
    return [program, "-c", str(file)]


def s6(program, directory, services):
    service_directories(directory, services)
    return [program, "-c", str(2 * services + 2), str(directory)]


def s6_with_log(program, directory, services):
    for service in service_directories(directory, services):
        (service / "log").mkdir()
        (service / "log/run").write_text("#!/bin/sh\nexec s6-log 1\n")
        (service / "log/run").chmod(0o755)
    return [program, "-c", str(2 * services + 2), str(directory)]


def runit(program, directory, services):
    """It waits for a second when its directory has just been changed, which in an image it has not."""
    service_directories(directory, services)
    os.utime(directory, (0, 0))
    return [program, "-P", str(directory)]


def service_directories(directory, services):
    made = [directory / f"s{n}" for n in range(services)]
    for service in made:
        service.mkdir()
        (service / "run").symlink_to(probe())
    return made


def dinit(program, directory, services):
    for n in range(services):
        (directory / f"s{n}").write_text(
            f"type = process\ncommand = {probe()}\nrestart = true\nrestart-delay = 0\nrestart-limit-count = 0\n"
            "smooth-recovery = true\noptions = shares-console\n"
        )
    (directory / "boot").write_text("type = internal\n" + "".join(f"waits-for = s{n}\n" for n in range(services)))
    return [program, "--container", "--quiet", "-p", f"{directory}/dinitctl", "-d", str(directory), "boot"]


def horust(program, directory, services):
    for n in range(services):
        (directory / f"s{n}.toml").write_text(
            f'command = "{probe()}"\n[restart]\nstrategy = "always"\nbackoff = "0s"\n[environment]\nkeep-env = true\n'
        )
    return [program, "--services-path", str(directory), "--uds-folder-path", f"{directory.parent}/uds"]


def dumb(program, directory, services):
    return [program, "--", probe()]


PEERS = {
    "dinit": Peer("dinit", "dinit", dinit),
    "s6": Peer("s6-svscan", "s6", s6),
    "runit": Peer("runsvdir", "runit", runit),
    "tini": Peer("tini", "tini", dumb, most=1, restarts=False),
    "dumb-init": Peer("dumb-init", "dumb-init", dumb, most=1, restarts=False),
    "catatonit": Peer("catatonit", "catatonit", dumb, most=1, restarts=False),
    "supervisord": Peer("supervisord", "supervisor", supervisord),
    "horust": Peer("horust", "horust", horust, from_cargo=True),
}
