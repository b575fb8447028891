"""Write all pages."""

from __future__ import annotations

from tools.reference import files

for path, text in files().items():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
