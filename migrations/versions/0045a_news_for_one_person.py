"""News for one person"""

import sqlalchemy as sa
from alembic import op

revision = "0045a"
down_revision = "0045"
branch_labels = None
depends_on = None

ME = "nullif(current_setting('pantau.person', true), '')::int"
FREE = "current_user <> 'pantau_web' or (select pantau_whole())"
HOST = "host_id in (select id from host)"


def upgrade() -> None:
    op.add_column("notice", sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE")))
    op.create_index(op.f("notice_person_id_idx"), "notice", ["person_id"])
    op.execute(
        f"alter policy divisions on notice using (case when person_id is not null then current_user <> 'pantau_web'"
        f" or person_id = {ME} or (select pantau_whole()) else {FREE} or {HOST} end)"
    )


def downgrade() -> None:
    op.execute("delete from notice where person_id is not null")
    op.execute(f"alter policy divisions on notice using ({FREE} or {HOST})")
    op.drop_column("notice", "person_id")
