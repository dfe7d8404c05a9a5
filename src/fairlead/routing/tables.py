"""Routing's tables: the one row that says what is served, and the gateways that report what they serve."""

from __future__ import annotations

import sqlalchemy as sa

from fairlead.storage.database import metadata

__all__ = ["gateways", "routing"]

routing = sa.Table(
    "routing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.CheckConstraint("id = 1", name="single"),
)

gateways = sa.Table(
    "gateways",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("time", sa.Float(53), nullable=False),
)
