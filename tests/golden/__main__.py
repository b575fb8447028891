"""`python -m tests.golden`: write the golden files again."""

from __future__ import annotations

import shutil

from tests.golden import plans
from tests.golden.cases import CASES, FOLDER, rendered

shutil.rmtree(FOLDER, ignore_errors=True)
for case in CASES:
    for name, content in rendered(*case).items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
plans.FOLDER.mkdir(exist_ok=True)
for plan in plans.PLANS:
    (plans.FOLDER / f"{plan}.txt").write_text(plans.shown(plan))
