"""How these tests reach the hosts, and compare what they find.

`expected/HOST.json` says how a host should be: a table for each subject, with a row for each thing. A file of tests
names its table (TABLE), makes one command of POSIX sh for all rows of a host (`ask`), and reads what that prints
(`read`). All hosts are asked side by side when the first test of a file runs; each test then compares one row.
"""

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import testinfra

HERE = Path(__file__).parent
EXPECTED = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "expected").glob("*.json"))}
END = "end-of-answer"
LONGEST = 300  # characters of a value in a message
AT_ONCE = 16  # hosts that are asked at the same time


def pytest_configure(config):
    """Ask all hosts, or those that --hosts names, as ssh_config says; keep connections open between commands."""
    chosen = config.option.hosts.split(",") if config.option.hosts else EXPECTED
    names = [spec.removeprefix("ssh://").partition("?")[0] for spec in chosen]
    unknown = [name for name in names if name not in EXPECTED]
    if unknown:
        raise pytest.UsageError(f"--hosts: no host {unknown[0]}; there are {', '.join(EXPECTED)}")
    private = tempfile.TemporaryDirectory(prefix="infra-", dir="/tmp")  # a socket's path must be short
    config.add_cleanup(private.cleanup)
    ssh_config = Path(private.name, "ssh_config")
    ssh_config.write_text(f"ControlPath {private.name}/%C\n{(HERE / 'ssh_config').read_text()}")
    sudo = {name: "&sudo=true" if EXPECTED[name]["sudo"] else "" for name in names}
    config.hosts = {name: f"ssh://{name}?controlpersist=5{sudo[name]}" for name in names}
    config.option.hosts = ",".join(config.hosts.values())
    config.option.ssh_config = str(ssh_config)


def pytest_generate_tests(metafunc):
    """A test with the argument `row` runs for every row of its table, on every host."""
    if "row" in metafunc.fixturenames:
        table = metafunc.module.TABLE
        rows = [(name, row) for name in metafunc.config.hosts for row in EXPECTED[name].get(table, ())]
        metafunc.parametrize(("on", "row"), rows, ids=[f"{name} {title(row)}" for name, row in rows])


def pytest_collection_modifyitems(items):
    """Leave out tests of empty tables, and hosts that a file of tests does not name in `testinfra_hosts`."""
    items[:] = [item for item in items if is_wanted(item)]
    for item in items:
        item.user_properties.append(("host", host_of(item)))


def is_wanted(item):
    if "row" in getattr(item, "fixturenames", ()):
        return isinstance(item.callspec.params["row"], dict)
    only = getattr(item.module, "testinfra_hosts", None)
    return only is None or not host_of(item) or host_of(item) in only


def host_of(item):
    params = item.callspec.params if hasattr(item, "callspec") else {}
    own = params.get("_testinfra_host")  # as testinfra's own fixture `host` has it
    return own.backend.get_hostname() if own else params.get("on", "")


def title(row):
    """The name of a row: its first field."""
    return str(next(iter(row.values())))


@pytest.fixture(scope="session")
def answers(pytestconfig):
    """What all hosts answer to a file of tests; they are asked once."""
    known = {}

    def of(module):
        if module.TABLE not in known:
            asked = [name for name in pytestconfig.hosts if module.TABLE in EXPECTED[name]]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                said = pool.map(lambda name: answer(pytestconfig, module, name), asked)
                known[module.TABLE] = dict(zip(asked, said, strict=True))
        return known[module.TABLE]

    return of


def answer(config, module, name):
    """What `read` of a file of tests makes of a host's answer, or why there is none (a text)."""
    host = testinfra.get_host(config.hosts[name], ssh_config=config.option.ssh_config)
    script = module.ask(EXPECTED[name][module.TABLE])
    try:
        said = host.run(f"LC_ALL=C PATH=$PATH:/usr/sbin:/sbin; export LC_ALL PATH\n{script}\necho {END}")
    except RuntimeError as error:  # so testinfra says that ssh did not reach the host
        return f"cannot be reached: {last_words(error.args[0])}"
    output, end, _ = said.stdout.rpartition(END)
    if not end:
        return f"gives no answer: {last_words(said)}"
    try:
        return module.read(output)
    except (ValueError, LookupError, TypeError) as error:
        return f"gives an answer that cannot be read: {error}"


def last_words(said):
    """Why a command failed: ssh says that last, below warnings of many lines."""
    lines = said.stderr.strip().splitlines()[-2:]
    return "; ".join(line.rstrip(".") for line in lines) or "no reason given"


@pytest.fixture
def found(request, answers, on):
    """What the host of a test has, as `read` of its file gives it."""
    said = answers(request.module)[on]
    if isinstance(said, str):
        pytest.fail(f"{on} {said}", pytrace=False)
    return said


@pytest.fixture
def same(on, row):
    """Compare what is expected with what was found; a failure is three lines."""

    def compare(what, expected, found):
        if found != expected:
            thing = f"{next(iter(row))} {title(row)}"
            lines = [f"{on}: {thing}: {what}", f"  expected  {one_line(expected)}", f"  found     {one_line(found)}"]
            pytest.fail("\n".join(lines), pytrace=False)

    return compare


def one_line(value):
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
