"""The cost of watching: what each check's looks took, by the hour and in all"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watch_cost",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("looks", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("took", sa.Double(), nullable=False),
        sa.Column("late", sa.Double(), nullable=False),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=False),
        sa.Column("their_cpu", sa.Double(), nullable=False),
        sa.Column("their_processes", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["check_id"], ["host_check.id"], name=op.f("watch_cost_check_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("check_id", "ts", name=op.f("watch_cost_pkey")),
    )


def downgrade() -> None:
    op.drop_table("watch_cost")
