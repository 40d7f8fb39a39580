"""A line being cut is no lossy line: the look it is cut in loses some echoes, the next one all"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "update threshold set for_s = 60 where for_s = 0 and over = 0.199 and measure = 'icmp.loss' and part = ''"
        " and num_nonnulls(host_id, group_id, division_id) = 0"
    )


def downgrade() -> None:
    op.execute(
        "update threshold set for_s = 0 where for_s = 60 and over = 0.199 and measure = 'icmp.loss' and part = ''"
        " and num_nonnulls(host_id, group_id, division_id) = 0"
    )
