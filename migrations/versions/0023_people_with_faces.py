"""People's addresses, positions and pictures"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("email", "phone", "position"):
        op.add_column("person", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.create_table(
        "portrait",
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("stamp", sa.Text(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.Column("drawn_at", TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("portrait")
    for name in ("position", "phone", "email"):
        op.drop_column("person", name)
