"""Limits every installation comes with, for services and containers that do not run"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MEASURES = ("system.service.up", "container.up", "iis.application_pool.running")


def upgrade() -> None:
    """A named service down for more than a minute is a warning, unless somebody said otherwise for all machines."""
    for measure in MEASURES:
        op.get_bind().execute(
            sa.text(
                "insert into threshold (measure, part, state, under, for_s, clear_for_s)"
                " select cast(:measure as text), '', 'warning', 0.5, 60, 0"
                " where not exists (select from threshold where num_nonnulls(host_id, group_id, division_id) = 0"
                " and measure = :measure and part = '' and state = 'warning')"
            ),
            {"measure": measure},
        )


def downgrade() -> None:
    """Limits stay: whoever goes back may have made them their own."""
