"""abuse: how long a restart takes while init's control socket has clients that mean no good; and at rest, for the ratio."""

import socket
import statistics
import time

from arena import Container
from supervise import delays


def abuse(table, quick):
    contender = table.init
    medians = {}
    for key in ("rest", "abuse"):
        with Container(contender, 4, "crash 1200 1") as container:
            path = str(container.directory / "services/state/init.sock")
            container.all("start", 4)
            until = time.monotonic() + (8 if quick else 20)
            before = container.memory()["rss"]
            while time.monotonic() < until:
                if key == "rest":
                    time.sleep(0.1)
                else:
                    misuse(path)
            took = delays(container.events())
            if key == "abuse":
                for sample in took:
                    table.add("abuse", contender, sample)
                table.add("abuse-rss", contender, container.memory()["rss"] - before)
            medians[key] = statistics.median(took)
    table.add("abuse-ratio", contender, medians["abuse"] / medians["rest"])


def misuse(path):
    """A burst of clients that connect and wait, end in the middle, send too much, or never read; then a pause as long, so
    that the ratio is not that of two programs on one processor."""
    requests = [b"", b'{"v":1,', b"x" * 65536, b"\0" * 64, b"[" * 4000 + b"\n"]
    requests.append(b'{"v":1,"request":"logs","names":[],"lines":1000000,"follow":true}\n')
    requests.append(b'{"v":1,"request":"status"}\n')
    began, clients = time.monotonic(), []
    for n in range(100):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(0.05)
        clients.append(client)
        try:
            client.connect(path)
            client.sendall(requests[n % len(requests)])
        except OSError:
            pass  # it had no place, or init had enough of it
    for client in clients:
        client.close()
    time.sleep(time.monotonic() - began)
