"""Looking through a network for machines, and additions that can be undone"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "discovery",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Integer(), nullable=True),
        sa.Column("asked_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("addresses", postgresql.JSONB(), nullable=False),
        sa.Column("names", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("rate", sa.Double(), nullable=False),
        sa.Column("credentials", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("trace", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("looked", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("beat_at", MOMENT, nullable=True),
        sa.Column("stop_at", MOMENT, nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["asked_by"], ["person.id"], name=op.f("discovery_asked_by_fkey"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("discovery_pkey")),
    )
    op.create_table(
        "found",
        sa.Column("discovery_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("seen", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(
            ["discovery_id"], ["discovery.id"], name=op.f("found_discovery_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("discovery_id", "address", name=op.f("found_pkey")),
    )
    op.create_table(
        "addition",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Integer(), nullable=True),
        sa.Column("made_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.Column("before", postgresql.JSONB(), nullable=False),
        sa.Column("after", postgresql.JSONB(), nullable=False),
        sa.Column("groups", postgresql.JSONB(), nullable=False),
        sa.Column("undone_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("addition_made_by_fkey"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("addition_pkey")),
    )


def downgrade() -> None:
    op.drop_table("addition")
    op.drop_table("found")
    op.drop_table("discovery")
