"""Logging in by a provider of identities"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("seal_id", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), server_default="groups", nullable=False),
        sa.Column("mapping", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("makes_people", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("provider_one_check")),
    )
    op.create_table(
        "foreign_identity",
        sa.Column("issuer", sa.Text(), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), nullable=False),
        sa.Column("linked_at", TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(op.f("foreign_identity_person_id_idx"), "foreign_identity", ["person_id"])


def downgrade() -> None:
    op.drop_table("foreign_identity")
    op.drop_table("provider")
