"""Dead letters are counted on every page of an administrator: an index of them alone"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("delivery_dead_idx", "delivery", ["made_at"], postgresql_where=sa.text("state = 'dead'"))


def downgrade() -> None:
    op.drop_index("delivery_dead_idx", table_name="delivery", postgresql_where=sa.text("state = 'dead'"))
