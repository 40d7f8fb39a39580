"""The first tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

EDITS = "insert or update or delete"
TELLING = {
    "host": EDITS,
    "host_check": EDITS,
    "host_in_group": EDITS,
    "host_parent": EDITS,
    "host_key": EDITS,
    "threshold": EDITS,
    # Not its last_used_at: the poller writes that itself, and must not wake itself by it.
    "credential": "insert or delete or update of name, kind, username, sealed, seal_id",
}


def upgrade() -> None:
    op.execute(
        "create function tell_inventory() returns trigger language plpgsql as "
        "$$ begin perform pg_notify('inventory', ''); return null; end $$"
    )
    op.execute(
        "create function tell_look() returns trigger language plpgsql as "
        "$$ begin perform pg_notify('asked', new.id); return null; end $$"
    )
    op.create_table(
        "batch",
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "seq", name=op.f("batch_pkey")),
    )
    op.create_table(
        "credential",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), server_default="", nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("seal_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), server_default="typed", nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_used_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('password', 'ssh_key')", name=op.f("credential_kind_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("credential_pkey")),
        sa.UniqueConstraint("name", name=op.f("credential_name_key")),
    )
    op.create_table(
        "division",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("division_pkey")),
        sa.UniqueConstraint("name", name=op.f("division_name_key")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("role", name=op.f("heartbeat_pkey")),
    )
    op.create_table(
        "host_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("host_group_pkey")),
        sa.UniqueConstraint("name", name=op.f("host_group_name_key")),
    )
    op.create_table(
        "login_attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("login_attempt_pkey")),
    )
    op.create_index(op.f("login_attempt_account_at_idx"), "login_attempt", ["account", "at"], unique=False)
    op.create_index(op.f("login_attempt_source_at_idx"), "login_attempt", ["source", "at"], unique=False)
    op.create_table(
        "metric_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("parts", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("units", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("metric_set_pkey")),
        sa.UniqueConstraint("digest", name=op.f("metric_set_digest_key")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="admin", nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("theme", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "password_changed_at",
            sa.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("login = lower(login)", name=op.f("person_login_lower_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("person_pkey")),
        sa.UniqueConstraint("login", name=op.f("person_login_key")),
    )
    op.create_table(
        "raw",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("set_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("v", sa.ARRAY(sa.REAL()), nullable=False),
        postgresql_partition_by="RANGE (ts)",
    )
    op.create_index("raw_check_id_ts_idx", "raw", ["check_id", "ts"], unique=False)
    op.create_table(
        "roll_1d",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("set_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("vmin", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("vavg", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("vmax", sa.ARRAY(sa.REAL()), nullable=False),
        sa.PrimaryKeyConstraint("check_id", "ts", "set_id", name=op.f("roll_1d_pkey")),
    )
    op.create_table(
        "roll_1h",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("ts", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("set_id", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("vmin", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("vavg", sa.ARRAY(sa.REAL()), nullable=False),
        sa.Column("vmax", sa.ARRAY(sa.REAL()), nullable=False),
        sa.PrimaryKeyConstraint("check_id", "ts", "set_id", name=op.f("roll_1h_pkey")),
    )
    op.create_table(
        "setting",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("setting_pkey")),
    )
    op.create_table(
        "host",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("interval_s", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=True),
        sa.Column("recover_after", sa.Integer(), nullable=True),
        sa.Column("division_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("attempts between 1 and 20", name=op.f("host_attempts_check")),
        sa.CheckConstraint("interval_s between 1 and 86400", name=op.f("host_interval_check")),
        sa.CheckConstraint("recover_after between 1 and 20", name=op.f("host_recover_after_check")),
        sa.ForeignKeyConstraint(
            ["division_id"], ["division.id"], name=op.f("host_division_id_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("host_pkey")),
        sa.UniqueConstraint("name", name=op.f("host_name_key")),
    )
    op.create_index(op.f("host_division_id_idx"), "host", ["division_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("browser", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("session_person_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("session_pkey")),
    )
    op.create_index(op.f("session_person_id_idx"), "session", ["person_id"], unique=False)
    op.create_table(
        "host_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("credential_id", sa.Integer(), nullable=True),
        sa.Column("interval_s", sa.Double(), nullable=True),
        sa.Column("deadline_s", sa.Double(), server_default=sa.text("10"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("reachability", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("deadline_s between 0.1 and 300", name=op.f("host_check_deadline_check")),
        sa.CheckConstraint("interval_s between 1 and 86400", name=op.f("host_check_interval_check")),
        sa.ForeignKeyConstraint(
            ["credential_id"],
            ["credential.id"],
            name=op.f("host_check_credential_id_fkey"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("host_check_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("host_check_pkey")),
        sa.UniqueConstraint("host_id", "name", name=op.f("host_check_host_id_name_key")),
    )
    op.create_index(op.f("host_check_credential_id_idx"), "host_check", ["credential_id"], unique=False)
    op.create_table(
        "host_in_group",
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["host_group.id"], name=op.f("host_in_group_group_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("host_in_group_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", "group_id", name=op.f("host_in_group_pkey")),
    )
    op.create_index(op.f("host_in_group_group_id_idx"), "host_in_group", ["group_id"], unique=False)
    op.create_table(
        "host_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("accepted_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("accepted_by", sa.Integer(), nullable=True),
        sa.CheckConstraint("state in ('pinned', 'offered')", name=op.f("host_key_state_check")),
        sa.ForeignKeyConstraint(
            ["accepted_by"], ["person.id"], name=op.f("host_key_accepted_by_fkey"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("host_key_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("host_key_pkey")),
        sa.UniqueConstraint("host_id", "port", "key", name=op.f("host_key_host_id_port_key_key")),
    )
    op.create_table(
        "host_parent",
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("host_id <> parent_id", name=op.f("host_parent_not_its_own_check")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("host_parent_host_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["host.id"], name=op.f("host_parent_parent_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("host_id", "parent_id", name=op.f("host_parent_pkey")),
    )
    op.create_index(op.f("host_parent_parent_id_idx"), "host_parent", ["parent_id"], unique=False)
    op.create_table(
        "threshold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("over", sa.Double(), nullable=True),
        sa.Column("under", sa.Double(), nullable=True),
        sa.Column("clear", sa.Double(), nullable=True),
        sa.Column("for_s", sa.Double(), server_default=sa.text("300"), nullable=False),
        sa.Column("clear_for_s", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("state in ('warning', 'critical')", name=op.f("threshold_state_check")),
        sa.CheckConstraint("(over is null) <> (under is null)", name=op.f("threshold_one_side_check")),
        sa.CheckConstraint("host_id is null or group_id is null", name=op.f("threshold_one_owner_check")),
        sa.ForeignKeyConstraint(
            ["group_id"], ["host_group.id"], name=op.f("threshold_group_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("threshold_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("threshold_pkey")),
        sa.UniqueConstraint(
            "host_id",
            "group_id",
            "measure",
            "part",
            "state",
            name=op.f("threshold_host_id_group_id_measure_part_state_key"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("threshold_group_id_idx"), "threshold", ["group_id"], unique=False)
    op.create_index(op.f("threshold_host_id_idx"), "threshold", ["host_id"], unique=False)
    op.create_table(
        "change",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("change_check_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("change_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("change_pkey")),
    )
    op.create_index(op.f("change_at_idx"), "change", ["at"], unique=False)
    op.create_index(op.f("change_check_id_idx"), "change", ["check_id"], unique=False)
    op.create_index(op.f("change_host_id_at_idx"), "change", ["host_id", "at"], unique=False)
    op.create_table(
        "fact",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("fact_check_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fact_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("check_id", "name", "part", name=op.f("fact_pkey")),
    )
    op.create_index(op.f("fact_host_id_idx"), "fact", ["host_id"], unique=False)
    op.create_table(
        "failure",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["check_id"], ["host_check.id"], name=op.f("failure_check_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("failure_pkey")),
    )
    op.create_index(op.f("failure_check_id_since_idx"), "failure", ["check_id", "since"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("opened_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("closed_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failure_kind", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["check_id"], ["host_check.id"], name=op.f("incident_check_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("incident_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("incident_pkey")),
    )
    op.create_index(op.f("incident_check_id_idx"), "incident", ["check_id"], unique=False)
    op.create_index(op.f("incident_host_id_idx"), "incident", ["host_id"], unique=False)
    op.create_index(
        "incident_open_idx",
        "incident",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("closed_at is null"),
    )
    op.create_index("incident_opened_at_idx", "incident", ["opened_at"], unique=False)
    op.create_table(
        "latest",
        sa.Column("check_id", sa.Integer(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("ts", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("took", sa.REAL(), nullable=False),
        sa.Column("late", sa.REAL(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("good_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("set_id", sa.Integer(), nullable=True),
        sa.Column("v", sa.ARRAY(sa.REAL()), nullable=True),
        sa.Column("failure_kind", sa.Text(), nullable=True),
        sa.Column("failure_detail", sa.Text(), nullable=True),
        sa.Column("sent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("received", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("latest_check_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("latest_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("check_id", name=op.f("latest_pkey")),
    )
    op.create_index(op.f("latest_host_id_idx"), "latest", ["host_id"], unique=False)
    op.create_table(
        "look",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=True),
        sa.Column("check_id", sa.Integer(), nullable=True),
        sa.Column(
            "asked",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("asked_by", sa.Integer(), nullable=True),
        sa.Column("asked_at", sa.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("claimed_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("done_at", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "answer",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.CheckConstraint("kind in ('run', 'test', 'sweep')", name=op.f("look_kind_check")),
        sa.ForeignKeyConstraint(["asked_by"], ["person.id"], name=op.f("look_asked_by_fkey"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("look_check_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("look_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("look_pkey")),
    )
    op.create_index(op.f("look_check_id_idx"), "look", ["check_id"], unique=False)
    op.create_index(op.f("look_host_id_idx"), "look", ["host_id"], unique=False)
    op.create_index(
        "look_waiting_idx", "look", ["asked_at"], unique=False, postgresql_where=sa.text("claimed_at is null")
    )
    op.create_table(
        "state_interval",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.Integer(), nullable=True),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("until", sa.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["check_id"], ["host_check.id"], name=op.f("state_interval_check_id_fkey"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("state_interval_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("state_interval_pkey")),
    )
    op.create_index(op.f("state_interval_check_id_idx"), "state_interval", ["check_id"], unique=False)
    op.create_index(
        "state_interval_during_idx",
        "state_interval",
        [sa.literal_column("tstzrange(since, until)")],
        unique=False,
        postgresql_using="gist",
    )
    op.create_index(
        "state_interval_open_idx",
        "state_interval",
        ["subject"],
        unique=True,
        postgresql_where=sa.text("until is null"),
    )
    op.create_index("state_interval_subject_since_idx", "state_interval", ["subject", "since"], unique=False)
    op.create_table(
        "track",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("host_id", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("failing", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["check_id"], ["host_check.id"], name=op.f("track_check_id_fkey"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("track_host_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subject", name=op.f("track_pkey")),
    )
    op.create_index(op.f("track_check_id_idx"), "track", ["check_id"], unique=False)
    op.create_index(op.f("track_host_id_idx"), "track", ["host_id"], unique=False)
    for table, events in TELLING.items():
        op.execute(
            f"create trigger {table}_tells after {events} on {table} for each statement execute function tell_inventory()"
        )
    op.execute(
        "insert into threshold (measure, part, state, over, clear, for_s, clear_for_s) values"
        " ('system.cpu.utilization', '', 'warning', 0.80, 0.70, 300, 300),"
        " ('system.memory.utilization', '', 'warning', 0.90, 0.85, 300, 300),"
        " ('system.filesystem.utilization', '', 'warning', 0.85, 0.84, 0, 0),"
        " ('system.filesystem.utilization', '', 'critical', 0.95, 0.94, 0, 0),"
        " ('icmp.loss', '', 'warning', 0.199, 0.1, 0, 120)"
    )
    op.execute("create trigger look_tells after insert on look for each row execute function tell_look()")


def downgrade() -> None:
    op.drop_index(op.f("track_host_id_idx"), table_name="track")
    op.drop_index(op.f("track_check_id_idx"), table_name="track")
    op.drop_table("track")
    op.drop_index("state_interval_subject_since_idx", table_name="state_interval")
    op.drop_index("state_interval_open_idx", table_name="state_interval", postgresql_where=sa.text("until is null"))
    op.drop_index("state_interval_during_idx", table_name="state_interval", postgresql_using="gist")
    op.drop_index(op.f("state_interval_check_id_idx"), table_name="state_interval")
    op.drop_table("state_interval")
    op.drop_index("look_waiting_idx", table_name="look", postgresql_where=sa.text("claimed_at is null"))
    op.drop_index(op.f("look_host_id_idx"), table_name="look")
    op.drop_index(op.f("look_check_id_idx"), table_name="look")
    op.drop_table("look")
    op.drop_index(op.f("latest_host_id_idx"), table_name="latest")
    op.drop_table("latest")
    op.drop_index("incident_opened_at_idx", table_name="incident")
    op.drop_index("incident_open_idx", table_name="incident", postgresql_where=sa.text("closed_at is null"))
    op.drop_index(op.f("incident_host_id_idx"), table_name="incident")
    op.drop_index(op.f("incident_check_id_idx"), table_name="incident")
    op.drop_table("incident")
    op.drop_index(op.f("failure_check_id_since_idx"), table_name="failure")
    op.drop_table("failure")
    op.drop_index(op.f("fact_host_id_idx"), table_name="fact")
    op.drop_table("fact")
    op.drop_index(op.f("change_host_id_at_idx"), table_name="change")
    op.drop_index(op.f("change_check_id_idx"), table_name="change")
    op.drop_index(op.f("change_at_idx"), table_name="change")
    op.drop_table("change")
    op.drop_index(op.f("threshold_host_id_idx"), table_name="threshold")
    op.drop_index(op.f("threshold_group_id_idx"), table_name="threshold")
    op.drop_table("threshold")
    op.drop_index(op.f("host_parent_parent_id_idx"), table_name="host_parent")
    op.drop_table("host_parent")
    op.drop_table("host_key")
    op.drop_index(op.f("host_in_group_group_id_idx"), table_name="host_in_group")
    op.drop_table("host_in_group")
    op.drop_index(op.f("host_check_credential_id_idx"), table_name="host_check")
    op.drop_table("host_check")
    op.drop_index(op.f("session_person_id_idx"), table_name="session")
    op.drop_table("session")
    op.drop_index(op.f("host_division_id_idx"), table_name="host")
    op.drop_table("host")
    op.drop_table("setting")
    op.drop_table("roll_1h")
    op.drop_table("roll_1d")
    op.drop_index("raw_check_id_ts_idx", table_name="raw")
    op.drop_table("raw")
    op.drop_table("person")
    op.drop_table("metric_set")
    op.drop_index(op.f("login_attempt_source_at_idx"), table_name="login_attempt")
    op.drop_index(op.f("login_attempt_account_at_idx"), table_name="login_attempt")
    op.drop_table("login_attempt")
    op.drop_table("host_group")
    op.drop_table("heartbeat")
    op.drop_table("division")
    op.drop_table("credential")
    op.drop_table("batch")
    op.execute("drop function tell_inventory()")
    op.execute("drop function tell_look()")
