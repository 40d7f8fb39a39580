"""Credentials for SNMP: communities and users of version 3"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("credential_kind_check"), "credential", type_="check")
    op.create_check_constraint(
        op.f("credential_kind_check"), "credential", "kind in ('password', 'ssh_key', 'community', 'snmp_v3')"
    )


def downgrade() -> None:
    op.execute("delete from credential where kind in ('community', 'snmp_v3')")
    op.drop_constraint(op.f("credential_kind_check"), "credential", type_="check")
    op.create_check_constraint(op.f("credential_kind_check"), "credential", "kind in ('password', 'ssh_key')")
