"""The device that these tests run on: CUDA, or another by name to try the tests themselves without a GPU."""

from __future__ import annotations

import os

import pytest
import torch

DEVICE = os.environ.get("ABLATION_TEST_DEVICE", "cuda")

needs_device = pytest.mark.skipif(
    DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine"
)
needs_cuda = pytest.mark.skipif(
    DEVICE != "cuda" or not torch.cuda.is_available(), reason="torch finds no CUDA device on this machine"
)
