"""An exported model, loaded as its card says by somebody who has nothing of this project."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
ALONE = "import sys; sys.modules |= dict.fromkeys(['ablation', 'analysis', 'search_spaces']); exec(sys.stdin.read())"


def by_the_card(folder: Path, name: str, file: Path) -> Any:
    """Run the card's lines for a format on a file, in a process that has nothing of this project."""
    card = (folder / "README.md").read_text()
    found = re.search(rf"^{name}:\n\n```python\n(.*?)```", card, re.DOTALL | re.MULTILINE)
    assert found is not None
    lines, replaced = re.subn(r"^files = \['.*'\]$", f"files = [{str(file)!r}]", found[1], flags=re.MULTILINE)
    assert replaced == 1
    # -P would keep model.py of the folder off the path, where the card's reader has it.
    done = subprocess.run(
        [sys.executable, "-c", ALONE], input=f"{lines}\nimport json\nprint(json.dumps(probabilities.tolist()))",
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
