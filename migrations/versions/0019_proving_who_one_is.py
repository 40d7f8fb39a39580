"""Proving who one is once more, and the forms that wait for it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("session", sa.Column("proved_at", MOMENT, server_default=sa.text("now()"), nullable=False))
    op.execute("update session set proved_at = created_at")
    op.create_table(
        "parked_form",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("session_id", sa.Text(), sa.ForeignKey("session.id", ondelete="CASCADE"), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("parked_at", MOMENT, server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(op.f("parked_form_session_id_idx"), "parked_form", ["session_id"])


def downgrade() -> None:
    op.drop_table("parked_form")
    op.drop_column("session", "proved_at")
