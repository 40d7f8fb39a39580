"""Keys that are gone; logins with certificates, for actions, and from elsewhere"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SEALED = ("credential", "channel", "look", "trial")
CURRENT = """
create function vault_current() returns trigger language plpgsql as $$
begin
    if substring(new.sealed for 1) = '\\x02' and exists (
        select from retired_key where number = substring(new.sealed from 2 for 4)
    ) then
        raise exception 'The vault has had a new key since this was sealed. Please send it again.';
    end if;
    return new;
end $$
"""


def upgrade() -> None:
    op.create_table(
        "retired_key",
        sa.Column("number", sa.LargeBinary(), primary_key=True),
        sa.Column("at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.get_bind().exec_driver_sql(CURRENT)
    op.add_column("credential", sa.Column("fetched_from", sa.Text(), server_default="", nullable=False))
    op.add_column("credential", sa.Column("public_key", sa.Text(), server_default="", nullable=False))
    op.add_column("credential", sa.Column("certificate", sa.Text(), server_default="", nullable=False))
    _tell("insert or delete or update of name, kind, username, sealed, seal_id, fetched_from, certificate")
    op.add_column("host", sa.Column("action_credential_id", sa.Integer()))
    op.create_foreign_key(
        op.f("host_action_credential_id_fkey"), "host", "credential", ["action_credential_id"], ["id"],
        ondelete="RESTRICT",
    )  # fmt: skip
    op.create_index(op.f("host_action_credential_id_idx"), "host", ["action_credential_id"])
    op.create_table(
        "credential_use",
        sa.Column("credential_id", sa.Integer(), sa.ForeignKey("credential.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("first_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(op.f("credential_use_host_id_idx"), "credential_use", ["host_id"])
    for table in SEALED:
        op.execute(
            f"create trigger vault before insert or update of sealed on {table} for each row"
            " execute function vault_current()"
        )


def _tell(when: str) -> None:
    """The poller hears of what it logs in with, and not of its own bookkeeping."""
    op.execute("drop trigger credential_tells on credential")
    op.execute(
        f"create trigger credential_tells after {when} on credential for each statement execute function tell_inventory()"
    )


def downgrade() -> None:
    op.drop_table("credential_use")
    op.drop_constraint(op.f("host_action_credential_id_fkey"), "host")
    op.drop_column("host", "action_credential_id")
    _tell("insert or delete or update of name, kind, username, sealed, seal_id")
    for column in ("fetched_from", "public_key", "certificate"):
        op.drop_column("credential", column)
    for table in SEALED:
        op.execute(f"drop trigger vault on {table}")
    op.execute("drop function vault_current")
    op.drop_table("retired_key")
