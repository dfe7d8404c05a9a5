"""The built wheel in a fresh environment: what a stranger gets from an index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (found,) = folder.glob("fairlead-*.whl")
    return found


def test_the_wheel_holds_all_that_is_needed_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert all(name.startswith(("fairlead/", "fairlead-")) for name in names)
    assert "fairlead/py.typed" in names
    for suffix in (".css", ".html"):
        assert any(name.endswith(suffix) for name in names)
    assert any("/migrations/" in name for name in names)
    source = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "fairlead").rglob("*.py")}
    assert source <= set(names)


def test_the_demo_runs_from_the_wheel_in_a_fresh_environment(wheel, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=120)
    python = str(environment / "bin" / "python")
    pip = [
        python,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--constraint",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, f"{wheel}[demo]"], check=True, timeout=500)
    demo = [
        str(environment / "bin" / "fairlead"),
        "demo",
        "--home",
        str(tmp_path / "home"),
        "--port",
        "18573",
        "--duration",
        "2",
    ]
    done = subprocess.run(demo, capture_output=True, text=True, cwd=tmp_path, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert "/predict/flights" in done.stdout
    assert "1 April 05:" in done.stderr
