"""What is done to machines: who asks, who agrees, what comes of it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0045"
down_revision = "0040"
branch_labels = None
depends_on = None

FREE = "current_user <> 'pantau_web' or (select pantau_whole())"
HOST = "host_id in (select id from host)"
REQUEST = "exists (select from request where id = request_id)"
RULES = {"request": HOST, "host_service": HOST, **dict.fromkeys(("vote", "step", "summons"), REQUEST)}
"""Which rows a person reaches through the web's role, beside those who reach all of them."""
STATES = "('waiting', 'approved', 'running', 'done', 'failed', 'unknown', 'refused', 'expired', 'cancelled')"
OPEN = "state in ('waiting', 'approved', 'running')"
WATCHED = (
    ("action_rule", "rule", "id", "division_id=division,group_id=group"),
    ("host_service", "service", "name", "host_id=host"),
    ("runbook", "runbook"),
)


def _reference(
    name: str,
    table: str,
    kind: type = sa.Integer,
    *,
    primary: bool = False,
    needed: bool = False,
    then: str = "CASCADE",
) -> sa.Column:
    return sa.Column(
        name, kind(), sa.ForeignKey(f"{table}.id", ondelete=then), primary_key=primary, nullable=not (needed or primary)
    )


def _text(name: str, default: str | None = None, *, null: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), server_default=default, nullable=null)


def _json(name: str, empty: str | None = None) -> sa.Column:
    default = sa.text(f"'{empty}'::jsonb") if empty else None
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=False)


def _moment(name: str, default: str | None = None) -> sa.Column:
    kind = postgresql.TIMESTAMP(timezone=True)
    return sa.Column(name, kind, server_default=sa.text(default) if default else None, nullable=default is None)


def _number(name: str, default: int | None = None, kind: type = sa.SmallInteger) -> sa.Column:
    return sa.Column(
        name, kind(), server_default=sa.text(str(default)) if default is not None else None, nullable=False
    )


def _flag(name: str, *, on: bool) -> sa.Column:
    return sa.Column(name, sa.Boolean(), server_default=sa.text(str(on).lower()), nullable=False)


def upgrade() -> None:
    big = sa.BigInteger
    op.create_table(
        "request",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        _reference("host_id", "host", needed=True),
        _text("kind"), _json("params"), _text("bound"), _text("reason"), _text("client", null=True),
        _reference("made_by", "person", then="SET NULL"), _moment("made_at", "now()"),
        _number("needs"), _number("local"), _text("by", "approvers"),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        _reference("incident_id", "incident", big, then="SET NULL"),
        _text("boot", ""), _json("impact", "{}"), _flag("glass", on=False), _text("state", "waiting"),
        _moment("approved_at"), _moment("claimed_at"), _text("run", null=True), _moment("sent_at"), _moment("ended_at"),
        _reference("ended_by", "person", then="SET NULL"), _json("outcome", "{}"),
        sa.CheckConstraint(f"state in {STATES}", name=op.f("request_state_check")),
        sa.CheckConstraint("needs between 0 and 9 and local between 0 and 9", name=op.f("request_quorum_check")),
        sa.CheckConstraint("by in ('approvers', 'operators')", name=op.f("request_by_check")),
    )  # fmt: skip
    op.create_index("request_open_idx", "request", ["state"], postgresql_where=sa.text(OPEN))
    op.create_index(
        "request_busy_key", "request", ["host_id"], unique=True, postgresql_where=sa.text("state = 'running'")
    )
    op.create_index("request_client_key", "request", ["made_by", "client"], unique=True)
    for column in ("host_id", "made_by", "incident_id", "ended_at"):
        op.create_index(op.f(f"request_{column}_idx"), "request", [column])
    op.create_table(
        "vote",
        _reference("request_id", "request", big, primary=True), _reference("person_id", "person", primary=True),
        sa.Column("agrees", sa.Boolean(), nullable=False), _text("reason", ""), _moment("at", "clock_timestamp()"),
    )  # fmt: skip
    op.create_table(
        "step",
        sa.Column("id", sa.BigInteger(), primary_key=True), _reference("request_id", "request", big, needed=True),
        _moment("at", "clock_timestamp()"), _text("code"), _json("detail", "{}"),
    )  # fmt: skip
    op.create_table(
        "summons",
        _reference("request_id", "request", big, primary=True), _reference("person_id", "person", primary=True),
        sa.Column("why", sa.Text(), primary_key=True), _moment("made_at", "now()"), _moment("routed_at"),
    )  # fmt: skip
    op.create_index("summons_new_idx", "summons", ["request_id"], postgresql_where=sa.text("routed_at is null"))
    op.create_table(
        "action_rule",
        sa.Column("id", sa.Integer(), primary_key=True), _number("position", kind=sa.Integer), _text("name"),
        _reference("division_id", "division"), _reference("group_id", "host_group"), _text("kind", ""),
        _flag("allow", on=True), _number("needs", 2), _number("local", 1), _text("by", "approvers"),
        _flag("alone", on=False), _number("expires_s", 900, sa.Integer),
        sa.UniqueConstraint("name", name=op.f("action_rule_name_key")),
        sa.CheckConstraint("needs between 1 and 9 and local between 0 and needs", name=op.f("action_rule_quorum_check")),
        sa.CheckConstraint("by in ('approvers', 'operators')", name=op.f("action_rule_by_check")),
        sa.CheckConstraint("expires_s between 60 and 86400", name=op.f("action_rule_expires_check")),
    )  # fmt: skip
    op.create_table(
        "host_service", _reference("host_id", "host", primary=True), sa.Column("name", sa.Text(), primary_key=True)
    )
    op.create_table(
        "runbook",
        sa.Column("id", sa.Integer(), primary_key=True), _text("name"), _text("note", ""), _text("script"),
        _json("parameters", "[]"), _reference("group_id", "host_group", then="SET NULL"),
        _number("deadline_s", 60, sa.Integer), _reference("written_by", "person", then="SET NULL"),
        _moment("written_at", "now()"), _reference("reviewed_by", "person", then="SET NULL"), _moment("reviewed_at"),
        _text("reviewed", ""),
        sa.UniqueConstraint("name", name=op.f("runbook_name_key")),
        sa.CheckConstraint("deadline_s between 5 and 3600", name=op.f("runbook_deadline_check")),
    )  # fmt: skip
    for table, column in (
        ("vote", "person_id"), ("step", "request_id"), ("summons", "person_id"), ("action_rule", "division_id"),
        ("action_rule", "group_id"), ("runbook", "group_id"),
    ):  # fmt: skip
        op.create_index(op.f(f"{table}_{column}_idx"), table, [column])
    for table, rule in RULES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy divisions on {table} using ({FREE} or {rule})")
    for row in WATCHED:
        op.get_bind().execute(
            sa.text(f"select audit_watch({', '.join(f':a{n}' for n in range(len(row)))})"),
            {f"a{n}": value for n, value in enumerate(row)},
        )


def downgrade() -> None:
    for table in ("runbook", "host_service", "action_rule", "summons", "step", "vote", "request"):
        op.drop_table(table)
