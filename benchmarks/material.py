"""What every measured server is given: the flights model in its files, and rows with the answers scikit-learn gives."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from fairlead.demo.flights import COLUMNS, TARGET, flights, rows
from fairlead.demo.training import train, training_table

MODEL, WINTER, ROWS = "model.pkl", "winter.parquet", "rows.jsonl"


class Material(msgspec.Struct, frozen=True):
    """Where the files are, and rows with scikit-learn's own labels and probabilities."""

    folder: Path
    model: Any
    rows: list[dict[str, Any]]
    labels: list[str]
    scores: list[dict[str, float]]
    classes: list[str]

    @property
    def bodies(self) -> list[bytes]:
        """The rows as JSON objects."""
        return [json.dumps(row).encode() for row in self.rows]


def prepare(folder: Path, count: int) -> Material:
    """Train the model on the winter, pack it, and take `count` flights of April with scikit-learn's answers."""
    table = flights()
    winter = training_table(table)
    model = train(winter)
    (folder / MODEL).write_bytes(pickle.dumps(model))
    winter.to_parquet(folder / WINTER, index=False)
    deploy(folder, MODEL, "home")
    april = table[table["month"] == 4].sample(count, random_state=0)
    scores = model.predict_proba(april[list(COLUMNS)])
    classes = model.classes_.tolist()
    labels = model.predict(april[list(COLUMNS)]).tolist()
    answers = [dict(zip(classes, row, strict=True)) for row in scores.tolist()]
    material = Material(folder, model, rows(april), labels, answers, classes)
    (folder / ROWS).write_bytes(b"\n".join(material.bodies) + b"\n")
    return material


def deploy(folder: Path, model: str, home: str) -> None:
    """Pack a model's file as `flights` and deploy it, in a home of its own."""
    _fairlead(folder, home, "pack", model, "--name", "flights", "--data", WINTER, "--target", TARGET)
    _fairlead(folder, home, "deploy", "flights:1")


def _fairlead(folder: Path, home: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "fairlead.cli.main", "--home", str(folder / home), *arguments]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
