"""What people say to each other"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0031"
branch_labels = None
depends_on = None

AUDIT = 0x41554449
ME = "nullif(current_setting('pantau.person', true), '')::int"
FREE = "current_user <> 'pantau_web'"
THREADS = f"""{FREE} or case kind when 'direct' then
 person_id = {ME} or coalesce({ME} = 0, false) or exists (select from person where id = {ME} and active and role = 'admin')
 else (select pantau_whole()) or host_id is not null and exists (select from host where id = host_id)
 or incident_id is not null and exists (select from incident where id = incident_id)
 or division_id in (select pantau_divisions()) end"""  # noqa: S608 - our own words
RULES = {
    "thread": THREADS,
    "message": f"{FREE} or exists (select from thread where id = thread_id)",
    "picture": f"{FREE} or exists (select from message where id = message_id)",
    "mention": f"{FREE} or exists (select from message where id = message_id)",
    "seen": f"{FREE} or person_id = {ME}",
}
"""Which rows a person reaches through the web's role."""
OWN = f"{FREE} or author_id = {ME}"

# Whatever can be talked about has its thread from the first moment: two who write first need not agree who makes it.
MAKE = """
create function thread_make() returns trigger language plpgsql security definer as $$
begin
    insert into thread (kind, host_id, incident_id, division_id, person_id) values (tg_argv[0],
        case when tg_argv[0] = 'machine' then new.id end, case when tg_argv[0] = 'incident' then new.id end,
        case when tg_argv[0] = 'division' then new.id end, case when tg_argv[0] = 'direct' then new.id end);
    return null;
end $$
"""
# At COMMIT, under the lock of the audit: a transaction that does both must not meet another that does both the other
# way round. Under it a later commit gets the greater turn, and threads cannot be locked in a circle.
PLACE = """
create function message_place() returns trigger language plpgsql security definer as $$
declare
    place bigint;
begin
    perform pg_advisory_xact_lock({lock});
    update thread set turn = turn + 1,
        said = case when tg_op = 'INSERT' and new.kind = 'said' then turn + 1 else said end,
        said_at = case when tg_op = 'INSERT' and new.kind = 'said' then clock_timestamp() else said_at end
        where id = new.thread_id returning turn into place;
    if place is null then
        return null;
    end if;
    update message set turn = place, number = coalesce(number, place),
        at = case when number is null then clock_timestamp() else at end where id = new.id;
    perform pg_notify('chat', new.thread_id || ' ' || new.id || ' ' || place || ' ' || new.kind);
    return null;
end $$
"""
SUBJECTS = (("host", "machine"), ("incident", "incident"), ("division", "division"), ("person", "direct"))
COLUMNS = {"machine": "host_id", "incident": "incident_id", "division": "division_id", "direct": "person_id"}


def _reference(name: str, table: str, kind: type = sa.Integer, unique: bool = False) -> sa.Column:
    return sa.Column(name, kind(), sa.ForeignKey(f"{table}.id", ondelete="CASCADE"), unique=unique)


def upgrade() -> None:
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "thread",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        _reference("host_id", "host", unique=True),
        _reference("incident_id", "incident", sa.BigInteger, unique=True),
        _reference("division_id", "division", unique=True),
        _reference("person_id", "person", unique=True),
        sa.Column("turn", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("said", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("said_at", moment),
        sa.CheckConstraint("kind in ('machine', 'incident', 'division', 'direct')", name=op.f("thread_kind_check")),
        sa.CheckConstraint(
            "num_nonnulls(host_id, incident_id, division_id, person_id) = 1", name=op.f("thread_one_subject_check")
        ),
    )
    op.create_index(op.f("thread_said_at_idx"), "thread", ["said_at"])
    op.create_table(
        "message",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("thread_id", sa.BigInteger(), sa.ForeignKey("thread.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.BigInteger()),
        sa.Column("turn", sa.BigInteger()),
        sa.Column("at", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), server_default="said", nullable=False),
        sa.Column("author_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("author", sa.Text(), server_default="", nullable=False),
        sa.Column("client", sa.Text()),
        sa.Column("origin", sa.Text(), unique=True),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("edited_at", moment),
        sa.Column("gone_at", moment),
        sa.Column(
            "words", postgresql.TSVECTOR(), sa.Computed("to_tsvector('simple'::regconfig, body)", persisted=True)
        ),
        sa.CheckConstraint("kind in ('said', 'line')", name=op.f("message_kind_check")),
        sa.CheckConstraint("char_length(body) <= 4000", name=op.f("message_length_check")),
        sa.UniqueConstraint("author_id", "client", name=op.f("message_author_id_client_key")),
        sa.UniqueConstraint("thread_id", "number", name=op.f("message_thread_id_number_key")),
    )
    op.create_index(op.f("message_at_idx"), "message", ["at"])
    op.create_index(op.f("message_thread_id_turn_idx"), "message", ["thread_id", "turn"])
    op.create_index("message_words_idx", "message", ["words"], postgresql_using="gin")
    op.create_table(
        "picture",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("message_id", sa.BigInteger(), sa.ForeignKey("message.id", ondelete="CASCADE"), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
    )
    op.create_index(op.f("picture_message_id_idx"), "picture", ["message_id"])
    op.create_table(
        "mention",
        sa.Column("message_id", sa.BigInteger(), sa.ForeignKey("message.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("routed_at", moment),
    )
    op.create_index(op.f("mention_person_id_idx"), "mention", ["person_id"])
    op.create_index("mention_new_idx", "mention", ["message_id"], postgresql_where=sa.text("routed_at is null"))
    op.create_table(
        "seen",
        sa.Column("thread_id", sa.BigInteger(), sa.ForeignKey("thread.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("person_id", sa.Integer(), sa.ForeignKey("person.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_index(op.f("seen_person_id_idx"), "seen", ["person_id"])
    _wire()
    for table, rule in RULES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy divisions on {table} using ({rule})")
    op.execute(f"create policy speaks on message as restrictive for insert with check ({OWN} or kind = 'line')")
    op.execute(f"create policy changes on message as restrictive for update using ({OWN})")


def _wire() -> None:
    """Threads for what is there and for what comes; a place for every message."""
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    for name, body in (("thread_make()", MAKE), ("message_place()", PLACE.replace("{lock}", str(AUDIT)))):
        op.get_bind().exec_driver_sql(body.replace("%", "%%"))
        op.get_bind().exec_driver_sql(f"alter function {name} set search_path = pg_catalog, {schema}, pg_temp")
    for table, kind in SUBJECTS:
        op.execute(f"insert into thread (kind, {COLUMNS[kind]}) select '{kind}', id from {table} order by id")  # noqa: S608
        op.execute(f"create trigger thread after insert on {table} for each row execute function thread_make('{kind}')")
    op.execute(
        "create constraint trigger place after insert or update of body, gone_at on message"
        " deferrable initially deferred for each row execute function message_place()"
    )


def downgrade() -> None:
    for table, _ in SUBJECTS:
        op.execute(f"drop trigger thread on {table}")
    for table in ("seen", "mention", "picture", "message", "thread"):
        op.drop_table(table)
    op.execute("drop function message_place(); drop function thread_make()")
