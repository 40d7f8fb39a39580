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
    for table in SEALED:
        op.execute(
            f"create trigger vault before insert or update of sealed on {table} for each row"
            " execute function vault_current()"
        )


def downgrade() -> None:
    for table in SEALED:
        op.execute(f"drop trigger vault on {table}")
    op.execute("drop function vault_current")
    op.drop_table("retired_key")
