"""Who is told: channels, routes, policies, deliveries, and the queue that carries them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from config import queue

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "channel",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("options", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("seal_id", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("channel_pkey")),
        sa.UniqueConstraint("name", name=op.f("channel_name_key")),
    )
    op.create_table(
        "lookout",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("every", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("tried_at", MOMENT, nullable=True),
        sa.Column("told_at", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("every between 10 and 86400", name=op.f("lookout_every_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("lookout_pkey")),
        sa.UniqueConstraint("name", name=op.f("lookout_name_key")),
    )
    op.create_table(
        "rota",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("days", sa.Integer(), server_default=sa.text("7"), nullable=False),
        sa.Column("people", JSONB(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.CheckConstraint("days between 1 and 365", name=op.f("rota_days_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("rota_pkey")),
        sa.UniqueConstraint("name", name=op.f("rota_name_key")),
        sa.UniqueConstraint("token", name=op.f("rota_token_key")),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("(latitude is null) = (longitude is null)", name=op.f("site_both_check")),
        sa.CheckConstraint(
            "latitude between -90 and 90 and longitude between -180 and 180", name=op.f("site_degrees_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("site_pkey")),
        sa.UniqueConstraint("name", name=op.f("site_name_key")),
    )
    op.create_table(
        "linking",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("made_by", sa.Integer(), nullable=True),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channel.id"], name=op.f("linking_channel_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("linking_made_by_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("linking_person_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("code", name=op.f("linking_pkey")),
    )
    op.create_table(
        "membership",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("division_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint("role in ('pic', 'deputy', 'staff')", name=op.f("membership_role_check")),
        sa.ForeignKeyConstraint(
            ["division_id"], ["division.id"], name=op.f("membership_division_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("membership_person_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "division_id", "role", name=op.f("membership_pkey")),
    )
    op.create_index(op.f("membership_division_id_idx"), "membership", ["division_id"], unique=False)
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("division_id", sa.Integer(), nullable=True),
        sa.Column("site_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("from_minute", sa.Integer(), nullable=True),
        sa.Column("to_minute", sa.Integer(), nullable=True),
        sa.Column("days", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("steps", JSONB(), nullable=False),
        sa.CheckConstraint("severity in ('warning', 'critical')", name=op.f("policy_severity_check")),
        sa.CheckConstraint("(from_minute is null) = (to_minute is null)", name=op.f("policy_hours_both_check")),
        sa.CheckConstraint(
            "from_minute between 0 and 1439 and to_minute between 0 and 1439", name=op.f("policy_hours_check")
        ),
        sa.ForeignKeyConstraint(
            ["division_id"], ["division.id"], name=op.f("policy_division_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["group_id"], ["host_group.id"], name=op.f("policy_group_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("policy_site_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("policy_pkey")),
        sa.UniqueConstraint("name", name=op.f("policy_name_key")),
    )
    op.create_index(op.f("policy_division_id_idx"), "policy", ["division_id"], unique=False)
    op.create_index(op.f("policy_group_id_idx"), "policy", ["group_id"], unique=False)
    op.create_index(op.f("policy_site_id_idx"), "policy", ["site_id"], unique=False)
    op.create_table(
        "route",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("address", JSONB(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("severity", sa.Text(), server_default="warning", nullable=False),
        sa.Column("recoveries", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("quiet_from", sa.Integer(), nullable=True),
        sa.Column("quiet_to", sa.Integer(), nullable=True),
        sa.Column("quiet_days", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("quiet_critical", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("muted_until", MOMENT, nullable=True),
        sa.Column("hourly", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("discreet", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("verified_at", MOMENT, nullable=True),
        sa.Column("gone_at", MOMENT, nullable=True),
        sa.CheckConstraint("severity in ('warning', 'critical')", name=op.f("route_severity_check")),
        sa.CheckConstraint("(quiet_from is null) = (quiet_to is null)", name=op.f("route_quiet_both_check")),
        sa.CheckConstraint("hourly between 1 and 1000", name=op.f("route_hourly_check")),
        sa.CheckConstraint(
            "quiet_from between 0 and 1439 and quiet_to between 0 and 1439", name=op.f("route_quiet_check")
        ),
        sa.ForeignKeyConstraint(["channel_id"], ["channel.id"], name=op.f("route_channel_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("route_person_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("route_pkey")),
    )
    op.create_index(op.f("route_channel_id_idx"), "route", ["channel_id"], unique=False)
    op.create_index(op.f("route_person_id_idx"), "route", ["person_id"], unique=False)
    op.create_table(
        "shift",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rota_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("uid", sa.Text(), nullable=True),
        sa.Column("made_by", sa.Integer(), nullable=True),
        sa.CheckConstraint("since < until", name=op.f("shift_order_check")),
        sa.ForeignKeyConstraint(["made_by"], ["person.id"], name=op.f("shift_made_by_fkey"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("shift_person_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["rota_id"], ["rota.id"], name=op.f("shift_rota_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("shift_pkey")),
        sa.UniqueConstraint("rota_id", "uid", "since", name=op.f("shift_rota_id_uid_since_key")),
    )
    op.create_index(op.f("shift_person_id_idx"), "shift", ["person_id"], unique=False)
    op.create_index(op.f("shift_rota_id_since_idx"), "shift", ["rota_id", "since"], unique=False)
    op.create_table(
        "wording",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.Integer(), nullable=True),
        sa.Column("changed_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["changed_by"], ["person.id"], name=op.f("wording_changed_by_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("kind", "language", name=op.f("wording_pkey")),
    )
    op.create_table(
        "mark",
        sa.Column("route_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("ref", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["route_id"], ["route.id"], name=op.f("mark_route_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("route_id", "subject", name=op.f("mark_pkey")),
    )
    op.create_index(op.f("mark_subject_idx"), "mark", ["subject"], unique=False)
    op.create_table(
        "trial",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=True),
        sa.Column("asked", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("asked_by", sa.Integer(), nullable=True),
        sa.Column("asked_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_at", MOMENT, nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("answer", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(["asked_by"], ["person.id"], name=op.f("trial_asked_by_fkey"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["route_id"], ["route.id"], name=op.f("trial_route_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("trial_pkey")),
    )
    op.create_index(op.f("trial_route_id_idx"), "trial", ["route_id"], unique=False)
    op.create_index(
        "trial_waiting_idx", "trial", ["asked_at"], unique=False, postgresql_where=sa.text("claimed_at is null")
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("channel_id", sa.Integer(), nullable=True),
        sa.Column("step", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("made_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("digest", sa.BigInteger(), nullable=True),
        sa.Column("ref", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "state in ('waiting', 'sending', 'sent', 'dropped', 'dead')", name=op.f("delivery_state_check")
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channel.id"], name=op.f("delivery_channel_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["notice_id"], ["notice.id"], name=op.f("delivery_notice_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("delivery_person_id_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["route_id"], ["route.id"], name=op.f("delivery_route_id_fkey"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("delivery_pkey")),
        sa.UniqueConstraint("notice_id", "route_id", name=op.f("delivery_notice_id_route_id_key")),
    )
    op.create_index(op.f("delivery_channel_id_idx"), "delivery", ["channel_id"], unique=False)
    op.create_index("delivery_made_at_idx", "delivery", ["made_at"], unique=False)
    op.create_index(
        "delivery_open_idx",
        "delivery",
        ["route_id", "id"],
        unique=False,
        postgresql_where=sa.text("state in ('waiting', 'sending')"),
    )
    op.create_index(op.f("delivery_person_id_idx"), "delivery", ["person_id"], unique=False)
    op.create_table(
        "escalation",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("notice_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("receivers", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notice.id"], name=op.f("escalation_notice_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("escalation_pkey")),
        sa.UniqueConstraint("notice_id", "step", name=op.f("escalation_notice_id_step_key")),
    )
    op.create_index(
        "escalation_due_idx", "escalation", ["due_at"], unique=False, postgresql_where=sa.text("done_at is null")
    )
    op.add_column("host", sa.Column("site_id", sa.Integer(), nullable=True))
    op.add_column("host", sa.Column("runbook", sa.Text(), server_default="", nullable=False))
    op.create_index(op.f("host_site_id_idx"), "host", ["site_id"], unique=False)
    op.create_foreign_key(op.f("host_site_id_fkey"), "host", "site", ["site_id"], ["id"], ondelete="SET NULL")
    op.add_column("notice", sa.Column("routed_at", MOMENT, nullable=True))
    op.create_index("notice_new_idx", "notice", ["id"], unique=False, postgresql_where=sa.text("routed_at is null"))
    op.add_column("person", sa.Column("zone", sa.Text(), nullable=True))
    op.execute("update notice set routed_at = now()")  # what was decided before there was anybody to tell it
    queue.create(op.get_bind())
    op.execute(
        "create function tell_notifier() returns trigger language plpgsql as"
        " $$ begin perform pg_notify('notice', ''); return null; end $$"
    )
    for table in ("notice", "trial"):
        op.execute(
            f"create trigger {table}_told after insert on {table} for each statement execute function tell_notifier()"
        )


def downgrade() -> None:
    for table in ("notice", "trial"):
        op.execute(f"drop trigger {table}_told on {table}")
    op.execute("drop function tell_notifier()")
    queue.drop(op.get_bind())
    op.drop_column("person", "zone")
    op.drop_index("notice_new_idx", table_name="notice", postgresql_where=sa.text("routed_at is null"))
    op.drop_column("notice", "routed_at")
    op.drop_constraint(op.f("host_site_id_fkey"), "host", type_="foreignkey")
    op.drop_index(op.f("host_site_id_idx"), table_name="host")
    op.drop_column("host", "runbook")
    op.drop_column("host", "site_id")
    op.drop_index("escalation_due_idx", table_name="escalation", postgresql_where=sa.text("done_at is null"))
    op.drop_table("escalation")
    op.drop_index(op.f("delivery_person_id_idx"), table_name="delivery")
    op.drop_index(
        "delivery_open_idx", table_name="delivery", postgresql_where=sa.text("state in ('waiting', 'sending')")
    )
    op.drop_index("delivery_made_at_idx", table_name="delivery")
    op.drop_index(op.f("delivery_channel_id_idx"), table_name="delivery")
    op.drop_table("delivery")
    op.drop_index("trial_waiting_idx", table_name="trial", postgresql_where=sa.text("claimed_at is null"))
    op.drop_index(op.f("trial_route_id_idx"), table_name="trial")
    op.drop_table("trial")
    op.drop_index(op.f("mark_subject_idx"), table_name="mark")
    op.drop_table("mark")
    op.drop_table("wording")
    op.drop_index(op.f("shift_rota_id_since_idx"), table_name="shift")
    op.drop_index(op.f("shift_person_id_idx"), table_name="shift")
    op.drop_table("shift")
    op.drop_index(op.f("route_person_id_idx"), table_name="route")
    op.drop_index(op.f("route_channel_id_idx"), table_name="route")
    op.drop_table("route")
    op.drop_index(op.f("policy_site_id_idx"), table_name="policy")
    op.drop_index(op.f("policy_group_id_idx"), table_name="policy")
    op.drop_index(op.f("policy_division_id_idx"), table_name="policy")
    op.drop_table("policy")
    op.drop_index(op.f("membership_division_id_idx"), table_name="membership")
    op.drop_table("membership")
    op.drop_table("linking")
    op.drop_table("site")
    op.drop_table("rota")
    op.drop_table("lookout")
    op.drop_table("channel")
