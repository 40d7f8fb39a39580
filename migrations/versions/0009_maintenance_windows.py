"""Maintenance windows: when, and for whom"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "maintenance_window",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("options", JSONB(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE")),
        sa.Column("group_id", sa.Integer(), sa.ForeignKey("host_group.id", ondelete="CASCADE")),
        sa.Column("division_id", sa.Integer(), sa.ForeignKey("division.id", ondelete="CASCADE")),
        sa.Column("everything", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("made_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("made_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("ended_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("resumes_at", MOMENT),
        sa.CheckConstraint("kind in ('once', 'weekly', 'cron')", name=op.f("maintenance_window_kind_check")),
        sa.CheckConstraint(
            "num_nonnulls(host_id, group_id, division_id) + everything::int = 1",
            name=op.f("maintenance_window_one_target_check"),
        ),
    )
    for column in ("host_id", "group_id", "division_id"):
        op.create_index(op.f(f"maintenance_window_{column}_idx"), "maintenance_window", [column])


def downgrade() -> None:
    op.drop_table("maintenance_window")
