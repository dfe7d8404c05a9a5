"""The registry's tables. Their statements stand in `registry.py`, `tokens.py` and `audit.py`, and nowhere else."""

from __future__ import annotations

import sqlalchemy as sa

from fairlead.storage.database import metadata

__all__ = ["aliases", "audit", "models", "tokens", "versions"]

models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created", sa.Float(53), nullable=False),
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("model", sa.String(64), sa.ForeignKey(models.c.name), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("road", sa.String(16), nullable=False),
    sa.Column("task", sa.String(32), nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("params", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "digest"),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("alias", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], [versions.c.model, versions.c.number]),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("subject", sa.String(160), nullable=False, index=True),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.String(16), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("endpoints", sa.Text, nullable=False),
    sa.Column("rate", sa.Float(53), nullable=True),
    sa.Column("burst", sa.Integer, nullable=False),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=True),
    sa.Column("revoked", sa.Float(53), nullable=True),
    sa.UniqueConstraint("id"),
)
