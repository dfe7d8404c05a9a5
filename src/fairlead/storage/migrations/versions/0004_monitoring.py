"""Monitoring: reports, the panes they are merged from, settings that the operator made, what people were told, who watches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the monitor's tables."""
    op.create_table(
        "monitor_reports",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("start", sa.Float(53), nullable=False),
        sa.Column("end", sa.Float(53), nullable=False),
        sa.Column("made", sa.Float(53), nullable=False),
        sa.Column("amends", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_monitor_reports"),
    )
    op.create_index("ix_monitor_reports_endpoint", "monitor_reports", ["endpoint"])
    op.create_table(
        "monitor_panes",
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("shape", sa.String(64), nullable=False),
        sa.Column("segment", sa.String(300), nullable=False),
        sa.Column("start", sa.Float(53), nullable=False),
        sa.Column("end", sa.Float(53), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "shape", "segment", "start", "end", name="pk_monitor_panes"),
    )
    op.create_table(
        "monitor_settings",
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name="pk_monitor_settings"),
    )
    op.create_table(
        "monitor_alerts",
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "kind", name="pk_monitor_alerts"),
    )
    op.create_table(
        "monitor_leads",
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("expires", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", name="pk_monitor_leads"),
    )
