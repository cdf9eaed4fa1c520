"""relay: the rows of a service's stdout on its way through PID 1: speed, cost, latency, and whether every line comes whole."""

import contenders
from arena import Container, eventually

LINE = 120
LINES = 2_000_000
BLOCKS = 8_000_000
EACH = (32 << 10) // LINE
TICKS = 2000
RECORDS = 40_000


def relay(table, quick):
    ways = contenders.relays(table.binary, table.programs)
    # What loses lines cannot be timed by when the last one comes.
    whole = [way for way in ways if way.name != "dinit"]
    for what, lines, each in (("lines", LINES, 1), ("blocks", BLOCKS // EACH * EACH, EACH)):
        lines //= 4 if quick else 1
        lines -= lines % each

        def sample(way):
            with Container(way, 1, f"lines {lines} {each}", sink=f"lines {lines}") as container:
                first = container.event("start")
                idle = container.cpu()
                arrived = container.event("arrived", seconds=60)
                eventually(container.is_at_rest)
                table.add(f"speed-{what}", way, lines * LINE / (arrived - first) * 1e3)
                table.add(f"cpu-{what}", way, (container.cpu() - idle) / (lines * LINE))

        table.rounds(f"speed-{what}", whole, 1 if quick else 4, sample)
    latency(table, quick, whole)
    records(table, quick, ways)


def latency(table, quick, ways):
    """A line each millisecond: from the writer's clock to the read that brought it."""

    def sample(way):
        with Container(way, 1, f"ticks {TICKS} 1000", sink=f"ticks {TICKS}") as container:
            for key in ("p50", "p99"):
                table.add(key, way, container.event(key) / 1e3)

    table.rounds("p50", ways, 1 if quick else 3, sample)


def records(table, quick, ways):
    """Two writers at once, some lines longer than what a pipe takes in one piece, then a stop right after the last line."""

    def sample(way):
        with Container(way, 2, f"records {RECORDS}", sink=f"records {2 * RECORDS}") as container:
            container.all("written", 2)
            try:
                container.stop()
            finally:
                container.end()
            for key in ("torn", "lost"):
                table.total(key, way, container.event(key))

    table.rounds("torn", ways, 1 if quick else 3, sample)
