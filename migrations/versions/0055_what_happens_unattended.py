"""What happens unattended: schedules, remedies, and the standing approvals of both"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0055"
down_revision = "0052"
branch_labels = None
depends_on = None

FREE = "current_user <> 'pantau_web' or (select pantau_whole())"
ME = "nullif(current_setting('pantau.person', true), '')::int"
OWN = "division_id in (select pantau_divisions())"
RULES = {
    **dict.fromkeys(("mandate", "schedule", "remedy"), OWN),
    "consent": "mandate_id in (select id from mandate)",
    "schedule_run": "schedule_id in (select id from schedule)",
    "firing": "remedy_id in (select id from remedy) and host_id in (select id from host)",
}
"""Which rows a person reaches through the web's role, beside those who reach all of them."""
RUN_STATES = "('waiting', 'running', 'done', 'failed', 'missed', 'skipped', 'unknown')"
WATCHED = (
    ("schedule", "schedule", "id", "", "", "next_at"),
    ("remedy", "remedy", "id", "", "", "since"),
)


def _to(name: str, table: str, kind: type = sa.Integer, *, primary: bool = False, needed: bool = False, then: str = "CASCADE") -> sa.Column:  # fmt: skip
    return sa.Column(
        name, kind(), sa.ForeignKey(f"{table}.id", ondelete=then), primary_key=primary, nullable=not (needed or primary)
    )


def _text(name: str, default: str | None = None, *, null: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), server_default=default, nullable=null)


def _json(name: str, empty: str | None = None) -> sa.Column:
    default = sa.text(f"'{empty}'::jsonb") if empty else None
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=False)


def _moment(name: str, default: str | None = None, *, needed: bool = False) -> sa.Column:
    kind = postgresql.TIMESTAMP(timezone=True)
    given = sa.text(default) if default else None
    return sa.Column(name, kind, server_default=given, nullable=default is None and not needed)


def _number(name: str, default: int | None = None, kind: type = sa.Integer, *, null: bool = False) -> sa.Column:
    given = sa.text(str(default)) if default is not None else None
    return sa.Column(name, kind(), server_default=given, nullable=null)


def _flag(name: str, *, on: bool) -> sa.Column:
    return sa.Column(name, sa.Boolean(), server_default=sa.text(str(on).lower()), nullable=False)


def upgrade() -> None:
    big = sa.BigInteger
    op.create_table(
        "mandate",
        sa.Column("id", sa.Integer(), primary_key=True),
        _to("division_id", "division"), _to("host_id", "host"), _to("group_id", "host_group"),
        _text("kind"), _json("params"), _text("reason"), _json("condition"), _number("days", kind=sa.SmallInteger),
        _text("bound", ""), _to("asked_by", "person", then="SET NULL"), _moment("asked_at", "now()"), _moment("agreed_at"),
        sa.CheckConstraint("num_nonnulls(host_id, group_id) = 1", name=op.f("mandate_one_target_check")),
        sa.CheckConstraint("days between 1 and 180", name=op.f("mandate_days_check")),
    )  # fmt: skip
    op.create_table(
        "consent",
        _to("mandate_id", "mandate", primary=True), _to("person_id", "person", primary=True),
        sa.Column("agrees", sa.Boolean(), nullable=False), _text("reason", ""), _moment("at", "clock_timestamp()"),
    )  # fmt: skip
    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer(), primary_key=True), _text("name"), _text("kind"),
        _to("division_id", "division"), _to("mandate_id", "mandate"), _text("expression"), _text("zone"),
        _text("overlap", "skip"), _number("grace_s", 3600), _json("options", "{}"), _flag("enabled", on=True),
        _moment("next_at"), _to("made_by", "person", then="SET NULL"), _moment("made_at", "now()"),
        sa.UniqueConstraint("name", name=op.f("schedule_name_key")),
        sa.UniqueConstraint("mandate_id", name=op.f("schedule_mandate_id_key")),
        sa.CheckConstraint("kind in ('action', 'report', 'discovery', 'backup')", name=op.f("schedule_kind_check")),
        sa.CheckConstraint("overlap in ('skip', 'wait')", name=op.f("schedule_overlap_check")),
        sa.CheckConstraint("grace_s between 60 and 86400", name=op.f("schedule_grace_check")),
        sa.CheckConstraint("(kind = 'action') = (mandate_id is not null)", name=op.f("schedule_mandate_check")),
    )  # fmt: skip
    op.create_index("schedule_next_idx", "schedule", ["next_at"], postgresql_where=sa.text("enabled"))
    op.create_table(
        "schedule_run",
        sa.Column("id", sa.BigInteger(), primary_key=True), _to("schedule_id", "schedule", needed=True),
        _moment("due", needed=True), _text("why", "due"), _to("asked_by", "person", then="SET NULL"),
        _text("state", "waiting"), _text("run", null=True), _moment("begun_at"), _moment("ended_at"),
        _json("outcome", "{}"), _json("requests", "[]"), _text("output", ""),
        sa.UniqueConstraint("schedule_id", "due", name=op.f("schedule_run_schedule_id_due_key")),
        sa.CheckConstraint(f"state in {RUN_STATES}", name=op.f("schedule_run_state_check")),
    )  # fmt: skip
    going = sa.text("state in ('waiting', 'running')")
    op.create_index("schedule_run_open_idx", "schedule_run", ["state"], postgresql_where=going)
    op.create_index(
        "schedule_run_busy_key",
        "schedule_run",
        ["schedule_id"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "remedy",
        sa.Column("id", sa.Integer(), primary_key=True), _text("name"), _to("division_id", "division"),
        _to("mandate_id", "mandate", needed=True), _text("check_kind", ""), _json("states"), _number("after_s", 120),
        _number("from_minute", null=True), _number("to_minute", null=True), _text("zone"), _json("days", "[]"),
        _flag("live", on=False), _flag("enabled", on=True), _moment("since", "now()"),
        _to("made_by", "person", then="SET NULL"), _moment("made_at", "now()"),
        sa.UniqueConstraint("name", name=op.f("remedy_name_key")),
        sa.UniqueConstraint("mandate_id", name=op.f("remedy_mandate_id_key")),
        sa.CheckConstraint("after_s between 0 and 86400", name=op.f("remedy_after_check")),
        sa.CheckConstraint("(from_minute is null) = (to_minute is null)", name=op.f("remedy_hours_check")),
        sa.CheckConstraint(
            "from_minute between 0 and 1439 and to_minute between 0 and 1439", name=op.f("remedy_minutes_check")
        ),
    )  # fmt: skip
    op.create_table(
        "firing",
        sa.Column("id", sa.BigInteger(), primary_key=True), _to("remedy_id", "remedy", needed=True),
        _to("incident_id", "incident", big, needed=True), _to("host_id", "host", needed=True),
        _to("request_id", "request", big, then="SET NULL"), _moment("at", "clock_timestamp()"), _text("state"),
        _json("detail", "{}"),
        sa.UniqueConstraint("remedy_id", "incident_id", name=op.f("firing_remedy_id_incident_id_key")),
        sa.CheckConstraint("state in ('dry', 'asked', 'not_done')", name=op.f("firing_state_check")),
    )  # fmt: skip
    op.create_table(
        "letter",
        sa.Column("subject", sa.Text(), primary_key=True), _to("person_id", "person", primary=True),
        sa.Column("why", sa.Text(), primary_key=True), _moment("made_at", "now()"), _moment("routed_at"),
    )  # fmt: skip
    op.create_index("letter_new_idx", "letter", ["made_at"], postgresql_where=sa.text("routed_at is null"))
    for table, columns in {
        "mandate": ("division_id", "host_id", "group_id", "asked_by"),
        "consent": ("person_id",),
        "schedule": ("division_id", "made_by"),
        "remedy": ("division_id", "made_by"),
        "firing": ("incident_id", "host_id", "request_id"),
        "letter": ("person_id",),
    }.items():
        for column in columns:
            op.create_index(op.f(f"{table}_{column}_idx"), table, [column])
    for table, rule in RULES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy divisions on {table} using ({FREE} or {rule})")
    op.execute("alter table letter enable row level security")
    op.execute(f"create policy own on letter using ({FREE} or person_id = {ME}) with check (true)")
    for row in WATCHED:
        op.get_bind().execute(
            sa.text(f"select audit_watch({', '.join(f':a{n}' for n in range(len(row)))})"),
            {f"a{n}": value for n, value in enumerate(row)},
        )


def downgrade() -> None:
    for table in ("letter", "firing", "remedy", "schedule_run", "schedule", "consent", "mandate"):
        op.drop_table(table)
