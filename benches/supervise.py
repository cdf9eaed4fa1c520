"""supervise: the rows of a supervisor's own work: start, restart, stop, orphans, memory, rest; and how they grow with N."""

import time
from contextlib import ExitStack, suppress

from arena import Container, children, eventually


def start(table, quick):
    """From exec of PID 1 to the first instruction of the last of N services, and from SIGTERM to the end of PID 1."""
    for services, count in ((1, 31), (100, 7), (1000, 3)):

        def sample(contender):
            with Container(contender, services, "pause") as container:
                began = container.event("exec")
                last = container.all("start", services)[-1]
                table.add(f"start{services}", contender, (last - began) / 1e6)
                table.add(f"cpu-start{services}", contender, container.cpu() / services / 1e3)
                if services == 1000:
                    return
                # Whoever is asked to stop right after the start is not at rest yet; supervisord least of all.
                time.sleep(0.05)
                took = container.stop()
                told = [what for what, _ in container.events()].count("term")
                if told == services:
                    table.add(f"stop{services}", contender, took)
                else:
                    table.remark(f"stop{services}", contender, f"{took:.3g}, told {told}")

        able = table.able(services)
        if quick and services == 1000:
            # These take half a minute.
            able = [c for c in able if c.name not in ("supervisord", "horust")]
        table.rounds(f"start{services}", able, count // 3 if quick else count, sample, seconds_each=4 if quick else 12)
    table.compare("growth-start", "cpu-start1000", "cpu-start100")


def memory(table, quick):
    """Of the contender's own processes, which for s6 and runit are one more for each service."""
    for services in (1, 10, 100):

        def sample(contender):
            with Container(contender, services, "pause") as container:
                container.all("start", services)
                # init and supervisord count a service as up after a second. What a start has touched is still resident.
                time.sleep(3)
                for field, kilobytes in container.memory().items():
                    table.add(f"{field}{services}", contender, kilobytes)

        table.rounds(f"rss{services}", table.able(services), 1 if quick or services == 100 else 2, sample)
    for name, hundred in table.medians("uss100").items():
        table.add_named("growth-uss", name, (hundred - table.medians("uss10")[name]) / 90)


def crash(table, quick):
    """One service each, all contenders at once since they sleep nearly all of the time; then a hundred, in rounds."""
    with ExitStack() as stack:
        running = []
        for n, contender in enumerate(c for c in table.contenders if c.restarts):
            container = stack.enter_context(Container(contender, 1, f"crash {1200 + 37 * n} 1"))
            with table.attempt("crash1", contender):
                container.event("start")
                running.append((contender, container, container.own(), container.cpu()))
        time.sleep(8 if quick else 20)
        for contender, container, pids, cpu in running:
            restarts(table, contender, container.events(), container.cpu(pids) - cpu, 1)

    def sample(contender):
        with Container(contender, 100, "crash 1200 1000") as container:
            container.all("start", 100)
            pids = container.own()
            cpu = container.cpu(pids)
            time.sleep(3 if quick else 5)
            restarts(table, contender, container.events(), container.cpu(pids) - cpu, 100)

    table.rounds("crash100", table.able(100), 1 if quick else 2, sample)
    table.compare("growth-crash", "cpu-crash100", "cpu-crash1")


def restarts(table, contender, events, cpu, services):
    took = delays(events)
    for sample in took:
        table.add(f"crash{services}", contender, sample)
    if took:
        table.add(f"cpu-crash{services}", contender, cpu / len(took) / 1e3)
    else:
        table.remark(f"crash{services}", contender, "none")


def delays(events):
    """From each crash to the next start that has none yet, in milliseconds."""
    crashed, took = [], []
    for what, at in sorted(events, key=lambda event: event[1]):
        if what == "crash":
            crashed.append(at)
        elif what == "start" and crashed:
            took.append((at - crashed.pop(0)) / 1e6)
    return took


def orphans(table, quick):
    """Processes whose parents end before them, one after the other; then zombies whose one parent ends, at once."""
    count, patience = (5000, 3) if quick else (20000, 10)

    def trickle(contender):
        with Container(contender, 1, f"orphans {count}") as container:
            container.event("start")
            pid, pids, cpu = container.pid, container.own(), container.cpu()
            others = len(children(pid))
            peak = 0
            while not container.events():
                peak = max(peak, len(children(pid)) - others)
                time.sleep(0.02)
            with suppress(TimeoutError):
                eventually(lambda: len(children(pid)) <= others, seconds=patience)
            left = max(0, len(children(pid)) - others)
            table.add("orphans-peak", contender, peak)
            table.add("orphans-cpu", contender, (container.cpu(pids) - cpu) / (count - left) / 1e3)
            if left:
                table.remark("orphans-peak", contender, f"{left} after {patience} s")

    def burst(contender):
        with Container(contender, 1, f"zombies {count}") as container:
            container.event("start")
            pids, cpu = container.own(), container.cpu()
            left = container.event("left")
            try:
                reaped = container.event("reaped", seconds=patience)
            except TimeoutError:
                table.remark("zombies", contender, f"not in {patience} s")
                return
            table.add("zombies", contender, (reaped - left) / 1e6)
            table.add("zombies-cpu", contender, (container.cpu(pids) - cpu) / count / 1e3)

    table.rounds("orphans-peak", table.contenders, 1 if quick else 2, trickle, seconds_each=10)
    table.rounds("zombies", table.contenders, 1 if quick else 4, burst, seconds_each=10)


def idle(table, quick):
    """Context switches of the contender's own processes in ten seconds; all at once."""
    with ExitStack() as stack:
        running = []
        for services in (1, 100):
            for contender in table.able(services):
                container = stack.enter_context(Container(contender, services, "pause"))
                with table.attempt(f"idle{services}", contender):
                    container.all("start", services)
                    running.append((contender, services, container))
        # init and supervisord count a service as up after a second.
        time.sleep(2.5)
        before = [container.switches() for _, _, container in running]
        time.sleep(10)
        after = [container.switches() for _, _, container in running]
        for (contender, services, _), was, now in zip(running, before, after):
            table.add(f"idle{services}", contender, now - was)
