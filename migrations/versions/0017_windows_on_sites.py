"""Maintenance of a whole site"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

TARGET = "maintenance_window_one_target_check"


def upgrade() -> None:
    op.add_column("maintenance_window", sa.Column("site_id", sa.Integer()))
    op.create_foreign_key(
        op.f("maintenance_window_site_id_fkey"), "maintenance_window", "site", ["site_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(op.f("maintenance_window_site_id_idx"), "maintenance_window", ["site_id"])
    op.drop_constraint(op.f(TARGET), "maintenance_window")
    op.create_check_constraint(
        op.f(TARGET),
        "maintenance_window",
        "num_nonnulls(host_id, group_id, division_id, site_id) + everything::int = 1",
    )


def downgrade() -> None:
    op.execute("delete from maintenance_window where site_id is not null")
    op.drop_constraint(op.f(TARGET), "maintenance_window")
    op.drop_column("maintenance_window", "site_id")
    op.create_check_constraint(
        op.f(TARGET), "maintenance_window", "num_nonnulls(host_id, group_id, division_id) + everything::int = 1"
    )
