"""Who did what"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

LOCK = 0x41554449

# Every function below runs as its owner: a role that may not touch `audit` at all still leaves its trace by what it
# changes, and one that may insert cannot choose id, moment or hash.
TEXT = """
create function audit_text(one audit) returns bytea language plpgsql stable as $$
declare
    field text;
    said bytea := '';
begin
    foreach field in array array[
        one.id::text, to_char(one.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        coalesce(one.person_id::text, ''), one.person, one.source, one.what, one."on", one.detail::text
    ] loop
        said := said || convert_to(octet_length(convert_to(field, 'UTF8')) || ':' || field, 'UTF8');
    end loop;
    return said || convert_to(encode(one.previous, 'hex'), 'UTF8');
end $$
"""
CHAIN = """
create function audit_chain() returns trigger language plpgsql security definer as $$
declare
    last record;
begin
    perform pg_advisory_xact_lock({lock});
    select id, hash into last from audit order by id desc limit 1;
    new.id := coalesce(last.id, 0) + 1;
    new.previous := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    new.at := clock_timestamp();
    new.hash := sha256(audit_text(new));
    return new;
end $$
"""
KEEP = """
create function audit_keep() returns trigger language plpgsql as $$
begin
    raise exception 'The audit is only added to: % is refused.', tg_op using errcode = 'insufficient_privilege';
end $$
"""
SHORT = """
create function audit_short(value jsonb) returns jsonb language sql immutable as $$
    select case when value is null then 'null'::jsonb
        when octet_length(value::text) > 1000 then to_jsonb(left(value #>> '{}', 300) || '…') else value end
$$
"""
# Arguments: the word for it; the column it is known by; `column=kind` of what it belongs to, the first that is set;
# columns of which only the change is told; columns that are bookkeeping and not told at all.
CHANGE = """
create function audit_change() returns trigger language plpgsql security definer as $$
declare
    before jsonb := coalesce(to_jsonb(old), '{}');
    after jsonb := coalesce(to_jsonb(new), '{}');
    known jsonb := case when tg_op = 'DELETE' then before else after end;
    actor jsonb := nullif(current_setting('pantau.actor', true), '')::jsonb;
    hidden text[] := string_to_array(tg_argv[3], ',');
    silent text[] := string_to_array(tg_argv[4], ',') || array['id', 'created_at', 'changed_at', 'made_at'];
    changed jsonb := '{}';
    unsaid text[] := '{}';
    thing text := tg_argv[0] || ':' || coalesce(known ->> tg_argv[1], '');
    detail jsonb;
    parent text;
    field text;
begin
    for field in select jsonb_object_keys(before || after) loop
        continue when field = any (silent) or (before -> field) is not distinct from (after -> field);
        continue when coalesce(before ->> field, '') = '' and coalesce(after ->> field, '') = '';
        if field = any (hidden) or field ~ '(^|_)(hash|secret|token|seed|sealed|password|private)$' then
            unsaid := unsaid || field;
        else
            changed := changed || jsonb_build_object(
                field, jsonb_build_array(audit_short(before -> field), audit_short(after -> field)));
        end if;
    end loop;
    if tg_op = 'UPDATE' and changed = '{}' and unsaid = '{}' then
        return null;
    end if;
    foreach parent in array string_to_array(tg_argv[2], ',') loop
        if known ->> split_part(parent, '=', 1) is not null then
            thing := split_part(parent, '=', 2) || ':' || (known ->> split_part(parent, '=', 1));
            exit;
        end if;
    end loop;
    detail := jsonb_strip_nulls(jsonb_build_object('id', known -> tg_argv[1], 'name', known -> 'name'));
    if changed <> '{}' then
        detail := detail || jsonb_build_object('changed', changed);
    end if;
    if unsaid <> '{}' then
        detail := detail || jsonb_build_object('hidden', to_jsonb(unsaid));
    end if;
    insert into audit (person_id, person, source, what, "on", detail) values (
        (actor ->> 'id')::integer, coalesce(actor ->> 'name', ''),
        coalesce(nullif(actor ->> 'source', ''), current_setting('application_name')),
        tg_argv[0] || case tg_op when 'INSERT' then '.made' when 'UPDATE' then '.changed' else '.gone' end,
        thing, detail);
    return null;
end $$
"""
# Deferred: the chain's lock is taken at COMMIT, when all else is done, and not for the length of an import.
WATCH = """
create function audit_watch(
    tbl text, kind text, known_by text default 'id', parents text default '', hidden text default '',
    silent text default ''
) returns void language plpgsql as $$
begin
    execute format(
        'create constraint trigger audit after insert or update or delete on %I deferrable initially deferred'
        ' for each row execute function audit_change(%L, %L, %L, %L, %L)', tbl, kind, known_by, parents, hidden, silent);
end $$
"""
WATCHED = (
    ("channel", "channel", "id", "", "", "seal_id"),
    ("credential", "credential", "id", "", "", "seal_id,last_used_at"),
    ("division", "division"),
    ("host", "host"),
    ("host_check", "check", "id", "host_id=host"),
    ("host_group", "group"),
    ("host_in_group", "grouping", "group_id", "host_id=host"),
    ("host_key", "hostkey", "id", "host_id=host", "", "seen_at"),
    ("host_parent", "parent", "parent_id", "host_id=host"),
    ("load_test", "loadtest", "id", "host_id=host"),
    ("lookout", "lookout", "id", "", "url", "tried_at,told_at,error"),
    ("maintenance_window", "maintenance", "id", "host_id=host,group_id=group,division_id=division,site_id=site"),
    ("membership", "membership", "division_id", "person_id=person"),
    ("person", "person", "id", "", "", "password_changed_at"),
    ("policy", "policy"),
    ("rota", "rota"),
    ("route", "route", "id", "person_id=person", "address"),
    ("setting", "setting", "key", "", "value"),
    ("shift", "shift", "id", "rota_id=rota"),
    ("site", "site"),
    ("threshold", "limit", "id", "host_id=host,group_id=group,division_id=division"),
    ("wording", "wording", "kind"),
)  # fmt: skip
FUNCTIONS = ("audit_text(audit)", "audit_chain()", "audit_keep()", "audit_change()", "audit_short(jsonb)")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("person_id", sa.Integer()),
        sa.Column("person", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("on", sa.Text(), server_default="", nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
    )
    op.create_index(op.f("audit_at_idx"), "audit", ["at"])
    op.create_index(op.f("audit_person_id_id_idx"), "audit", ["person_id", "id"])
    op.create_index(op.f("audit_on_id_idx"), "audit", ["on", "id"])
    op.create_index(op.f("audit_what_id_idx"), "audit", ["what", "id"])
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    for body in (TEXT, CHAIN.replace("{lock}", str(LOCK)), KEEP, SHORT, CHANGE, WATCH):
        op.get_bind().exec_driver_sql(body.replace("%", "%%"))
    for name in FUNCTIONS:  # what runs as its owner looks nothing up where a caller could have put something
        op.get_bind().exec_driver_sql(f"alter function {name} set search_path = pg_catalog, {schema}, pg_temp")
    op.execute("create trigger chain before insert on audit for each row execute function audit_chain()")
    op.execute(
        "create trigger keep before update or delete or truncate on audit for each statement"
        " execute function audit_keep()"
    )
    for trigger in ("chain", "keep"):  # also in a session that says it only replays a replica
        op.execute(f"alter table audit enable always trigger {trigger}")
    for row in WATCHED:
        op.get_bind().execute(
            sa.text(f"select audit_watch({', '.join(f':a{n}' for n in range(len(row)))})"),
            {f"a{n}": value for n, value in enumerate(row)},
        )


def downgrade() -> None:
    for row in WATCHED:
        op.execute(f"drop trigger audit on {row[0]}")
    op.execute("drop function audit_watch, audit_change, audit_short")
    op.drop_table("audit")
    op.execute("drop function if exists audit_text, audit_chain, audit_keep")
