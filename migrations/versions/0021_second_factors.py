"""Second factors: apps that make codes, recovery codes, passkeys"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)


def person(**more: bool) -> sa.Column[int]:
    return sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), **more)


def moment(name: str) -> sa.Column[object]:
    return sa.Column(name, MOMENT, server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "totp",
        person(primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("seal_id", sa.Text(), nullable=False),
        moment("made_at"),
        sa.Column("confirmed_at", MOMENT),
        sa.Column("last_step", sa.BigInteger()),
    )
    op.create_table(
        "recovery_code",
        sa.Column("digest", sa.Text(), primary_key=True),
        person(nullable=False),
        moment("made_at"),
        sa.Column("used_at", MOMENT),
    )
    op.create_table(
        "passkey",
        sa.Column("id", sa.Integer(), primary_key=True),
        person(nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("signs", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("transports", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        moment("made_at"),
        sa.Column("used_at", MOMENT),
    )
    op.create_table("spent_challenge", sa.Column("digest", sa.Text(), primary_key=True), moment("spent_at"))
    op.create_table(
        "half_login", sa.Column("id", sa.Text(), primary_key=True), person(nullable=False), moment("began_at")
    )
    for table in ("recovery_code", "passkey", "half_login"):
        op.create_index(op.f(f"{table}_person_id_idx"), table, ["person_id"])


def downgrade() -> None:
    for table in ("half_login", "spent_challenge", "passkey", "recovery_code", "totp"):
        op.drop_table(table)
