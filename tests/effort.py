"""How much the tests try: what has to pass each time, or with PYDSM_LONG=1 all there is.

In the short form there are fewer repetitions, examples and variants of what another test does
too, and no kind of test less.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["LONG"]

LONG: Final = bool(os.environ.get("PYDSM_LONG"))
