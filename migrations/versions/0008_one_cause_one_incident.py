"""Incidents have a cause, members, an owner and a history; notices are what people are to be told"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)
NEW = ("merged_into", "owner_id", "acknowledged_at", "acknowledged_until", "note", "closing", "closed_by")


def upgrade() -> None:
    op.alter_column("incident", "host_id", nullable=True)
    op.add_column("incident", sa.Column("merged_into", sa.BigInteger()))
    op.add_column("incident", sa.Column("owner_id", sa.Integer()))
    op.add_column("incident", sa.Column("acknowledged_at", MOMENT))
    op.add_column("incident", sa.Column("acknowledged_until", MOMENT))
    op.add_column("incident", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.add_column("incident", sa.Column("closing", sa.Text(), server_default="", nullable=False))
    op.add_column("incident", sa.Column("closed_by", sa.Integer()))
    for column, table in (("merged_into", "incident"), ("owner_id", "person"), ("closed_by", "person")):
        op.create_foreign_key(op.f(f"incident_{column}_fkey"), "incident", table, [column], ["id"], ondelete="SET NULL")
    op.create_index(op.f("incident_merged_into_idx"), "incident", ["merged_into"])
    op.create_index(op.f("incident_owner_id_idx"), "incident", ["owner_id"])
    op.create_table(
        "incident_member",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("incident_id", sa.BigInteger(), sa.ForeignKey("incident.id", ondelete="CASCADE"), nullable=False),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE"), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT),
    )
    op.create_index(op.f("incident_member_incident_id_idx"), "incident_member", ["incident_id"])
    op.create_index(
        "incident_member_open_idx", "incident_member", ["host_id"], unique=True,
        postgresql_where=sa.text("until is null"),
    )  # fmt: skip
    op.create_table(
        "incident_event",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("incident_id", sa.BigInteger(), sa.ForeignKey("incident.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE")),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("data", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
    )
    op.create_index(op.f("incident_event_incident_id_at_idx"), "incident_event", ["incident_id", "at"])
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE")),
        sa.Column("check_id", sa.Integer(), sa.ForeignKey("host_check.id", ondelete="CASCADE")),
        sa.Column("incident_id", sa.BigInteger(), sa.ForeignKey("incident.id", ondelete="SET NULL")),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("outage", sa.Double()),
        sa.Column("members", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
        sa.Column("admins_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    for column in ("at", "host_id", "check_id", "incident_id"):
        op.create_index(op.f(f"notice_{column}_idx"), "notice", [column])
    op.create_table(
        "standing",
        sa.Column("site_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("data", JSONB(), nullable=False),
    )


def downgrade() -> None:
    for table in ("standing", "notice", "incident_event", "incident_member"):
        op.drop_table(table)
    for column in NEW:
        op.drop_column("incident", column)
    op.execute("delete from incident where host_id is null")
    op.alter_column("incident", "host_id", nullable=False)
