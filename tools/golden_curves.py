"""Write the golden curves anew: ``python tools/golden_curves.py [FILE]``; without a file, where the tests look for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests/support"))

from golden_stages import GOLDEN, curves

if __name__ == "__main__":
    Path(sys.argv[1] if sys.argv[1:] else GOLDEN).write_text(json.dumps(curves(), indent=1) + "\n")
