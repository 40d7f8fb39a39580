"""What comes unasked: notes from traps and syslog, and the calls of jobs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "note",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("note_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("note_pkey")),
    )
    op.create_index("note_host_id_at_idx", "note", ["host_id", "at"])
    op.create_table(
        "job",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("ok_at", moment, nullable=True),
        sa.Column("failed_at", moment, nullable=True),
        sa.Column("started_at", moment, nullable=True),
        sa.Column("took", sa.Double(), nullable=True),
        sa.Column("said", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("job_check_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("check_id", name=op.f("job_pkey")),
    )


def downgrade() -> None:
    op.drop_table("job")
    op.drop_table("note")
