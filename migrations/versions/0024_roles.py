"""Roles for the whole installation and for each division"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

LOCAL = "role in ('operator', 'pic', 'deputy', 'approver', 'staff', 'viewer')"
EVERYWHERE = "role in ('admin', 'operator', 'approver', 'viewer', 'none')"


def upgrade() -> None:
    op.execute(f"update person set role = 'none' where not {EVERYWHERE}")  # noqa: S608 - our own words
    op.create_check_constraint(op.f("person_role_check"), "person", EVERYWHERE)
    op.alter_column("person", "role", server_default="none")
    op.drop_constraint(op.f("membership_role_check"), "membership", type_="check")
    op.create_check_constraint(op.f("membership_role_check"), "membership", LOCAL)


def downgrade() -> None:
    op.execute("delete from membership where role in ('operator', 'approver', 'viewer')")
    op.drop_constraint(op.f("membership_role_check"), "membership", type_="check")
    op.create_check_constraint(op.f("membership_role_check"), "membership", "role in ('pic', 'deputy', 'staff')")
    op.execute("update person set role = 'none' where role <> 'admin'")
    op.alter_column("person", "role", server_default="admin")
    op.drop_constraint(op.f("person_role_check"), "person", type_="check")
