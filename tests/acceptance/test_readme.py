"""The README's smallest true thing, as it stands there."""

from __future__ import annotations

import pytest
from fenced import ROOT, Reader


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_readme_does_what_it_shows(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    reader = Reader(tmp_path)
    try:
        reader.follow(ROOT / "README.md")
    finally:
        reader.leave()
