"""Machines that joined an incident are its members: nothing ever wrote them down as events"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The column was never filled."""
    op.drop_column("incident_event", "host_id")


def downgrade() -> None:
    """Empty again, as it always was."""
    op.add_column("incident_event", sa.Column("host_id", sa.Integer()))
    op.create_foreign_key(
        op.f("incident_event_host_id_fkey"), "incident_event", "host", ["host_id"], ["id"], ondelete="CASCADE"
    )
