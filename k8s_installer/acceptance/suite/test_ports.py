"""On every port a process of the right service listens."""

TABLE = "ports"

# Lines of ss, then PID UNIT for every process that listens.
LISTENERS = r"""
listening=$(ss -lntp)
printf '%s\n' "$listening" | grep '^LISTEN'
for pid in $(printf '%s\n' "$listening" | grep -o 'pid=[0-9]*' | sort -u | sed 's/pid=//'); do
  unit=$(sed -n 's|^[0-9]*:\(name=systemd\)\{0,1\}:.*/\([^/]*\)\.service.*|\2|p' "/proc/$pid/cgroup" | head -n 1)
  echo "process $pid ${unit:--}"
done
"""


def ask(rows):
    return LISTENERS


def read(output):
    """By port: who listens there, as (program, unit)."""
    lines = [line.split() for line in output.splitlines()]
    units = {words[1]: words[2] for words in lines if words[0] == "process"}
    found = {}
    for words in lines:
        if words[0] == "LISTEN":
            port = int(words[3].rpartition(":")[2])
            for program, pid in processes(words[-1]):
                found.setdefault(port, set()).add(units.get(pid) if units.get(pid, "-") != "-" else program)
    return found


def processes(text):
    """Of `users:(("etcd",pid=1,fd=5),("etcd",pid=2,fd=5))` the programs with their PIDs."""
    for part in text.split("(")[2:]:
        program, pid, *_ = part.split(",")
        yield program.strip('"'), pid.removeprefix("pid=")


def test_listens(row, found, same):
    listeners = ", ".join(sorted(found.get(row["port"], {"nobody"})))
    same("who listens", row["unit"], listeners)
