"""Runs a command and appends what it took as one line: python3 measure.py RESULTS LABEL… -- COMMAND…

The line: labels, user, system and wall seconds, peak memory in KiB, tab-separated. Processor time and memory are
those of the command and of every process it waited for; the peak is that of the largest. What the command prints is
thrown away, unless it fails.
"""

import os
import subprocess
import sys
import tempfile
import time


def main():
    divide = sys.argv.index("--")
    results, labels, command = sys.argv[1], sys.argv[2:divide], sys.argv[divide + 1 :]
    with tempfile.TemporaryFile() as told:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        if status != 0:
            told.seek(0)
            tail = told.read().decode(errors="replace").splitlines()[-8:]
            print(f"bench: {' '.join(labels)} failed: {' '.join(command)}", *tail, sep="\n  ", file=sys.stderr)
            return 1
    figures = [f"{used.ru_utime:.4f}", f"{used.ru_stime:.4f}", f"{wall:.4f}", str(used.ru_maxrss)]
    with open(results, "a", encoding="utf-8") as lines:
        lines.write("\t".join([*labels, *figures]) + "\n")
    return 0


sys.exit(main())
