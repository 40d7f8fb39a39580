"""Tokens for programs, and what they were answered"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)
SWITCHED_OFF = """
create function end_tokens() returns trigger language plpgsql as $$
begin
  update api_token set revoked_at = now() where person_id = new.id and revoked_at is null;
  return null;
end $$;
create trigger person_switched_off after update of active on person
  for each row when (old.active and not new.active) execute function end_tokens();
"""
"""Whoever is switched off comes back, some day, without the programs they had: whatever switched them off."""


def upgrade() -> None:
    op.create_table(
        "api_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.func.now(), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
        sa.Column("used_at", MOMENT),
        sa.Column("used_from", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("length(hash) = 32", name=op.f("api_token_hash_check")),
        sa.CheckConstraint("cardinality(scopes) > 0", name=op.f("api_token_scopes_check")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("api_token_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("api_token_pkey")),
        sa.UniqueConstraint("hash", name=op.f("api_token_hash_key")),
    )
    op.create_index(op.f("api_token_person_id_idx"), "api_token", ["person_id"])
    op.create_table(
        "answered",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("headers", JSONB()),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("answered_pkey")),
    )
    op.create_index(op.f("answered_at_idx"), "answered", ["at"])
    op.execute(SWITCHED_OFF)


def downgrade() -> None:
    op.execute("drop trigger person_switched_off on person")
    op.execute("drop function end_tokens()")
    op.drop_table("answered")
    op.drop_table("api_token")
