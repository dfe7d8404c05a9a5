"""`fairlead.pack` in a data scientist's own script, with classes of the script and of a file beside it."""

import os
import subprocess
import sys

RULES = """
LIMIT = 15

def is_late(hour):
    return hour > LIMIT
"""

SCRIPT = """
import pandas as pd
import fairlead
import rules

class Rule:
    classes_ = ["late", "on time"]

    def predict(self, table):
        return ["late" if rules.is_late(hour) else "on time" for hour in table["hour"]]

table = pd.DataFrame({"hour": range(5, 23), "late": ["late" if hour > 15 else "on time" for hour in range(5, 23)]})
version = fairlead.pack(Rule(), name="rule", data=table, target="late", home="home", alias="champion")
print(repr(version))
"""


def test_a_script_with_its_own_classes_is_packed_and_verified_from_another_folder(tmp_path):
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "rules.py").write_text(RULES)
    (desk / "train.py").write_text(SCRIPT)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command, folder):
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    packed = run("train.py", folder=desk)
    assert packed.stdout.startswith("<fairlead version rule:1, road 'worker'")
    assert "Road 'ir'" in packed.stderr, "what is being done is said on stderr"
    # The class and the file beside it went into the bundle: neither is importable from here.
    verified = run("-m", "fairlead.cli.main", "--home", str(desk / "home"), "verify", "rule:champion", folder=tmp_path)
    assert "verdict" in verified.stdout
    assert "holds" in verified.stdout
