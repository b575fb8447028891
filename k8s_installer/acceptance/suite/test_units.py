"""Services run now, start at boot, and were started by the unit file that is there now."""

import shlex

TABLE = "units"
OFF = ("disabled", "masked", "no such unit")


def ask(rows):
    units = shlex.join(f"{row['unit']}.service" for row in rows)
    return f"systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload {units}"


def read(output):
    """By unit: its properties."""
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in output.strip().split("\n\n") if block]
    return {unit["Id"].removesuffix(".service"): unit for unit in units}


def test_is_active(row, found, same):
    same("state", "active" if row["active"] else "inactive", said(found, row, "ActiveState"))


def test_is_enabled(row, found, same):
    """A unit that should be disabled may be missing."""
    state = said(found, row, "UnitFileState")
    off = state if state in OFF else "disabled"
    same("at boot", "enabled" if row["enabled"] else off, state)


def test_definition_is_loaded(row, found, same):
    same("its file changed since systemd read it", "no", said(found, row, "NeedDaemonReload"))


def said(found, row, name):
    return found.get(row["unit"], {}).get(name) or "no such unit"
