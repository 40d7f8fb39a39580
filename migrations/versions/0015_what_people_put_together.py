"""Incidents that a person put together are known as such: the rules do not part them"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Who put together what stands so far is in the histories."""
    op.add_column(
        "incident", sa.Column("merged_by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.execute(
        "update incident set merged_by_hand = true where merged_into is not null and (select e.data ? 'as'"
        " from incident_event e where e.incident_id = incident.id and e.kind = 'merged'"
        " order by e.id desc limit 1)"
    )


def downgrade() -> None:
    """The histories still know."""
    op.drop_column("incident", "merged_by_hand")
