"""A folder of RPMs as a yum repository; the one place that runs createrepo_c."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from k8s_installer.errors import InputError


@contextmanager
def folder_repository(folder: Path) -> Iterator[str]:
    """The address of a folder of RPMs as a repository; its metadata is made, beside it, where it has none.

    Raises:
        InputError: it has no metadata, and there is no createrepo_c to make it.
    """
    if (folder / "repodata/repomd.xml").is_file():
        yield folder.absolute().as_uri()
        return
    program = shutil.which("createrepo_c") or shutil.which("createrepo")
    if program is None:
        raise InputError(
            f"{folder} has RPMs but no repodata/, and createrepo_c is not installed",
            hint="install createrepo_c (Debian: createrepo-c), or run it in that folder on another machine",
        )
    with TemporaryDirectory() as work:
        for path in sorted(folder.glob("*.rpm")):
            (Path(work) / path.name).symlink_to(path.absolute())
        kind = ["--general-compress-type=gz"] if program.endswith("_c") else []
        argv = [program, "--quiet", "--no-database", *kind, work]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise InputError(f"{program} cannot read the RPMs of {folder}: {done.stderr.strip()[-300:]}")
        yield Path(work).as_uri()
