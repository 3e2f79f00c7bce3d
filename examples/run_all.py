"""Run every example with its defaults; each checks its own result against plain NumPy.

python examples/run_all.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    failed = []
    for script in sorted(Path(__file__).parent.glob("*.py")):
        if script.name != Path(__file__).name and subprocess.run([sys.executable, str(script)]).returncode:
            failed.append(script.name)
    print(f"examples that failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
