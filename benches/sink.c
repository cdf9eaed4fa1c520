/* sink: who reads the container's stdout. Reads until its end, and says what came of what probe_child wrote.
 *
 *   sink lines N         "arrived", with the time, after N lines
 *   sink ticks N         "p50" and "p99" after N lines: nanoseconds from the time in a line to the read that brought it
 *   sink records N       at the end "torn", lines that are not one whole record, and "lost", how many of N have not come
 */
#include "events.h"

static char block[1 << 20];

static void lines(long wanted) {
    long seen = 0;
    for (long n; (n = read(0, block, sizeof block)) > 0;) {
        long before = seen;
        for (long i = 0; i < n; i++)
            seen += block[i] == '\n';
        if (before < wanted && seen >= wanted)
            say("arrived", now());
    }
}

static int ascending(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

/* What the last read left of a line stays at the front of the block. */
static void each_line(void (*line)(char *, long)) {
    long have = 0;
    for (long n; (n = read(0, block + have, sizeof block - 1 - have)) > 0;) {
        long when = now();
        char *start = block, *end;
        have += n;
        block[have] = '\0';
        for (; (end = memchr(start, '\n', block + have - start)); start = end + 1) {
            *end = '\0';
            line(start, when);
        }
        have -= start - block;
        memmove(block, start, have);
        if (have == sizeof block - 1)
            exit(1);
    }
}

static long *took, ticks_seen, ticks_wanted;

static void tick(char *line, long when) {
    char *mark = strchr(line, '@');
    if (!mark || ticks_seen == ticks_wanted)
        return;
    took[ticks_seen++] = when - atol(mark + 1);
    if (ticks_seen == ticks_wanted) {
        qsort(took, ticks_wanted, sizeof *took, ascending);
        say("p50", took[ticks_wanted / 2]);
        say("p99", took[ticks_wanted * 99 / 100]);
    }
}

static long begun, torn;

static void record(char *line, long when) {
    long pid, number, length;
    int used = 0, starts = 0, ends = 0;
    (void)when;
    for (char *c = line; *c; c++) {
        starts += *c == '<';
        ends += *c == '>';
    }
    begun += starts;
    if (!starts && !ends && !strstr(line, "xxxx"))
        return; // not ours
    char *start = strchr(line, '<');
    if (starts != 1 || ends != 1 || sscanf(start, "<%ld %ld %ld %n", &pid, &number, &length, &used) != 3 ||
        (long)strspn(start + used, "x") != length || start[used + length] != '>')
        torn++;
}

int main(int argc, char **argv) {
    long wanted = argc > 2 ? atol(argv[2]) : 0;
    say("reading", now());
    if (!strcmp(argv[1], "lines")) {
        lines(wanted);
    } else if (!strcmp(argv[1], "ticks")) {
        took = calloc(ticks_wanted = wanted, sizeof *took);
        each_line(tick);
    } else {
        each_line(record);
        say("torn", torn);
        say("lost", wanted - begun);
    }
    return 0;
}
