"""Makes `tests/compat/v1`: a home as today's Fairlead writes it. Run once for each bundle format or database schema.

A folder that was once committed is never made again: it stands for what users have on their disks.

    python tests/compat/make.py tests/compat/v2
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fairlead
from fairlead.app import current_actor, open_stores
from fairlead.config import load_config
from fairlead.rollout.direct import deploy


def main() -> None:
    """Pack, alias and deploy a small model of made-up numbers."""
    home = Path(sys.argv[1])
    sizes = [float(number) for number in range(40)]
    table = pd.DataFrame(
        {
            "size": sizes,
            "colour": ["red", "green", "blue", "green"] * 10,
            "kept": ["yes" if (number * 7) % 11 > 4 else "no" for number in range(40)],
        }
    )
    columns = ColumnTransformer(
        [("size", StandardScaler(), ["size"]), ("colour", OneHotEncoder(handle_unknown="ignore"), ["colour"])]
    )
    model = Pipeline([("columns", columns), ("trees", GradientBoostingClassifier(n_estimators=5, random_state=0))])
    model.fit(table[["size", "colour"]], table["kept"])
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "home"
        fairlead.pack(
            model, name="kept", data=table, target="kept", metrics={"accuracy": 0.9}, alias="first", home=made
        )
        stores = open_stores(load_config({"home": str(made)}))
        deploy(stores.database, stores.blobs, "kept:1", actor=current_actor())
        stores.database.close()
        with closing(sqlite3.connect(made / "fairlead.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copytree(made, home, ignore=shutil.ignore_patterns("*-wal", "*-shm", "*.lock", "cache", "run"))


if __name__ == "__main__":
    main()
