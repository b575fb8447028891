"""Pictures of a cluster and of a plan, as Mermaid, DOT and SVG, without a program or a library that draws. Pure.

`cluster.py` and `plan.py` make a `Drawing` of what is known; `mermaid.py`, `dot.py` and `svg.py` write one down, the
last with the places that `layout.py` finds.
"""

from k8s_installer.drawing.dot import dot
from k8s_installer.drawing.mermaid import mermaid
from k8s_installer.drawing.model import Arrow, Box, Drawing, Lane, data
from k8s_installer.drawing.svg import STYLE, svg

__all__ = ["STYLE", "Arrow", "Box", "Drawing", "Lane", "data", "dot", "mermaid", "svg"]
