"""What every test starts with: the model's code is held to the shapes that its names say."""

from __future__ import annotations

from tests import shape_loader

# Before any test module is imported, so that `from ablation.tcl… import …` finds the checked functions.
shape_loader.install()
