"""Hypothesis draws the same examples in every CI run, and new ones at a desk."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("NIXTLA_NUMBA_CACHE", "1")  # statsforecast's compiled loops stay on disk: 25 s once, then 2
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
