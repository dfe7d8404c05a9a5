"""The tables of monitoring: reports that are never changed, the panes they are merged from, settings, and what people were told."""

from __future__ import annotations

import sqlalchemy as sa

from fairlead.storage.database import metadata

__all__ = ["monitor_alerts", "monitor_leads", "monitor_panes", "monitor_reports", "monitor_settings"]

monitor_reports = sa.Table(
    "monitor_reports",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("endpoint", sa.String(64), nullable=False, index=True),
    sa.Column("origin", sa.String(8), nullable=False),
    sa.Column("start", sa.Float(53), nullable=False),
    sa.Column("end", sa.Float(53), nullable=False),
    sa.Column("made", sa.Float(53), nullable=False),
    sa.Column("amends", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

monitor_panes = sa.Table(
    "monitor_panes",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("shape", sa.String(64), primary_key=True),
    sa.Column("segment", sa.String(300), primary_key=True),
    sa.Column("start", sa.Float(53), primary_key=True),
    sa.Column("end", sa.Float(53), primary_key=True),
    sa.Column("labels", sa.Integer, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

monitor_settings = sa.Table(
    "monitor_settings",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
)

monitor_alerts = sa.Table(
    "monitor_alerts",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("time", sa.Float(53), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

monitor_leads = sa.Table(
    "monitor_leads",
    metadata,
    sa.Column("endpoint", sa.String(64), primary_key=True),
    sa.Column("holder", sa.String(255), nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),
)
