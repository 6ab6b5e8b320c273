"""Medians, ratios and goals from the lines that a bench measured: python3 report.py RESULTS GOALS

A line of RESULTS: corpus, operation, tool, repetition, user s, system s, wall s, peak KiB; or, for the operation
"stored", bytes in the place of user s. A line of GOALS: corpus, operation, and what our share of the best other tool
may be at most, first in wall seconds (or stored bytes), then in processor seconds, then which others count for
that: those whose repository is at most so many times as large as ours; then peak MiB. A dash: no goal. A goal for
wall time is met too where a plain client that moves the same objects is hardly faster.
"""

import collections
import statistics
import sys

OURS = "lifeboat"
PLAIN = "plain"
# What a plain client does of each operation: it moves the same objects and nothing else.
PLAINLY = {"first": "put", "restore": "get", "check": "get"}
# Where a plain client saturates the server, nobody can be much faster: being so near to it is as good as being first.
NEAR_PLAIN = 1.1
NAMES = {
    "first": "first backup",
    "unchanged": "unchanged backup",
    "changed": "1 % changed backup",
    "restore": "full restore",
    "check": "read, check all",
    "get": "plain get",
    "put": "plain put",
    "stored": "stored MB",
}


class Bench:
    def __init__(self, results):
        measured = collections.defaultdict(list)
        for line in open(results, encoding="utf-8"):
            corpus, operation, tool, _, *figures = line.rstrip("\n").split("\t")
            measured[corpus, operation, tool].append([float(figure) for figure in figures])
        self.corpora = list(dict.fromkeys(key[0] for key in measured))
        self.tools = list(dict.fromkeys(sorted((key[2] for key in measured), key=lambda tool: tool != OURS)))
        self.median = {}
        for key, runs in measured.items():
            if key[1] == "stored":
                self.median[key] = {"stored": statistics.median(run[0] for run in runs)}
            else:
                self.median[key] = {
                    "cpu": statistics.median(run[0] + run[1] for run in runs),
                    "wall": statistics.median(run[2] for run in runs),
                    "peak": statistics.median(run[3] for run in runs) / 1024,
                    "spread": max(run[2] for run in runs) / min(run[2] for run in runs),
                }

    def operations(self, corpus):
        return [name for name in NAMES if any(key[:2] == (corpus, name) for key in self.median)]

    def beside_plain(self, corpus, operation):
        """Our wall time as a share of what a plain client takes to move the same objects, if one ran."""
        ours = self.median.get((corpus, operation, OURS))
        plain = self.median.get((corpus, PLAINLY.get(operation), PLAIN))
        return ours["wall"] / plain["wall"] if ours and plain else None

    def best(self, corpus, operation, figure, largest=None):
        """The other tool with the least, and how much."""
        ours = self.median.get((corpus, "stored", OURS), {}).get("stored")
        found = []
        for tool in self.tools:
            there = self.median.get((corpus, operation, tool))
            if tool == OURS or there is None:
                continue
            if largest is not None and ours:
                if self.median[corpus, "stored", tool]["stored"] > largest * ours:
                    continue
            found.append((there[figure], tool))
        return min(found, default=None)


def read_goals(path):
    goals = {}
    for line in open(path, encoding="utf-8"):
        fields = line.split("#")[0].split()
        if fields:
            goals[tuple(fields[:2])] = [None if field == "-" else float(field) for field in fields[2:]]
    return goals


def show(bench, corpus):
    print(f"\n{corpus}: CPU s / wall s, peak MiB (medians)")
    print(f"  {'':19}" + "".join(f"{tool:<21}" for tool in bench.tools).rstrip())
    for operation in bench.operations(corpus):
        cells = []
        for tool in bench.tools:
            there = bench.median.get((corpus, operation, tool))
            if there is None:
                cells.append("-")
            elif operation == "stored":
                cells.append(f"{there['stored'] / 1e6:.1f}")
            else:
                cells.append(f"{there['cpu']:5.2f} /{there['wall']:6.2f} {there['peak']:5.0f}")
        print(f"  {NAMES[operation]:<19}" + "".join(f"{cell:<21}" for cell in cells).rstrip())


class Verdict:
    """Counts goals met and missed."""

    def __init__(self):
        self.met, self.missed = 0, []

    def judge(self, what, value, goal, plain=None):
        if goal is None:
            return ""
        if value <= goal or (plain is not None and plain <= NEAR_PLAIN):
            self.met += 1
            return f"≤ {goal:g} met" if value <= goal else "near plain: met"
        self.missed.append(f"{what}: {value:.3g}, goal {goal:g}")
        return f"≤ {goal:g} MISSED"


def compare(bench, goals, corpus, verdict):
    if OURS not in bench.tools:
        return
    print(f"\n  {OURS:<19}{'wall × fastest other':<35}{'CPU × cheapest other':<35}peak MiB")
    for operation in bench.operations(corpus):
        ours = bench.median.get((corpus, operation, OURS))
        if ours is None:
            continue
        wall_goal, cpu_goal, largest, peak_goal = (goals.get((corpus, operation), []) + [None] * 4)[:4]
        row = f"  {'stored × least' if operation == 'stored' else NAMES[operation]:<19}"
        figures = [("stored", wall_goal, None)]
        if operation != "stored":
            figures = [("wall", wall_goal, None), ("cpu", cpu_goal, largest)]
        for figure, goal, limit in figures:
            best = bench.best(corpus, operation, figure, limit)
            if best is None:
                row += f"{'-':<35}"
                continue
            ratio = ours[figure] / best[0]
            plain = bench.beside_plain(corpus, operation) if figure == "wall" else None
            told = verdict.judge(f"{corpus} {operation} {figure}", ratio, goal, plain)
            row += f"{f'{ratio:.3f} {best[1]:<9}{told}':<35}"
        if operation != "stored":
            told = verdict.judge(f"{corpus} {operation} peak MiB", ours["peak"], peak_goal)
            row += f"{ours['peak']:.0f} {told}"
        print(row.rstrip())
    near = [(operation, bench.beside_plain(corpus, operation)) for operation in PLAINLY]
    told = [f"{NAMES[operation]} {share:.2f} × {NAMES[PLAINLY[operation]]}" for operation, share in near if share]
    if told:
        print(f"  wall beside a plain client: {', '.join(told)}")


def main():
    bench, goals, verdict = Bench(sys.argv[1]), read_goals(sys.argv[2]), Verdict()
    for corpus in bench.corpora:
        show(bench, corpus)
        compare(bench, goals, corpus, verdict)
    spread = max(
        ((there["spread"], key) for key, there in bench.median.items() if "spread" in there), default=None
    )
    print()
    if spread:
        print(f"widest spread of a wall time, slowest / fastest: {spread[0]:.2f} ({' '.join(spread[1])})")
    if verdict.met or verdict.missed:
        print(f"goals: {verdict.met} met, {len(verdict.missed)} missed")
        for line in verdict.missed:
            print(f"  missed: {line}")


main()
