"""The web's key has a number: what is sealed for one that is gone is refused"""

from alembic import op

revision = "0048"
down_revision = "0045b"
branch_labels = None
depends_on = None

SEALED = ("totp", "provider")


def upgrade() -> None:
    for table in SEALED:
        op.execute(
            f"create trigger vault before insert or update of sealed on {table} for each row"
            " execute function vault_current()"
        )


def downgrade() -> None:
    for table in SEALED:
        op.execute(f"drop trigger vault on {table}")
