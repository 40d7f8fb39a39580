"""Links that open once: invitations, and passwords that were lost"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "ticket",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), nullable=False),
        sa.Column("made_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("made_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind in ('invite', 'reset')", name=op.f("ticket_kind_check")),
    )
    op.create_index(op.f("ticket_person_id_idx"), "ticket", ["person_id"])


def downgrade() -> None:
    op.drop_table("ticket")
