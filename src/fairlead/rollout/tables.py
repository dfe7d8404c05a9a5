"""The rollouts' tables: where each stands, what was seen and decided, who leads, and which versions failed."""

from __future__ import annotations

import sqlalchemy as sa

from fairlead.storage.database import metadata

__all__ = ["lease", "quarantine", "rollout_log", "rollouts"]

rollouts = sa.Table(
    "rollouts",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("endpoint", sa.String(64), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("started", sa.Float(53), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

rollout_log = sa.Table(
    "rollout_log",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rollout", sa.Integer, sa.ForeignKey("rollouts.number"), nullable=False, index=True),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("because", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("rollout", sa.Integer, nullable=False),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("because", sa.Text, nullable=False),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String(255), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
    sa.CheckConstraint("id = 1", name="single"),
)
