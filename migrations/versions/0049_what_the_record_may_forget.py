"""What the record may forget"""

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

LOCK = 0x41554449
YOUNGEST = 30
"""Days: whoever is taken over cannot have dropped what is younger."""

# The rows go in the transaction that writes which went, under the lock of the chain: the row that says so holds the hash of
# the last one dropped, stands in the chain itself, and its end is never dropped.
PRUNE = """
create function audit_prune(older timestamptz) returns bigint language plpgsql security definer as $$
declare
    bound timestamptz := least(older, now() - make_interval(days => {youngest}));
    last record;
    oldest bigint;
begin
    perform pg_advisory_xact_lock({lock});
    select min(id) into oldest from audit;
    select id, hash into last from audit
        where id < coalesce((select min(id) from audit where at >= bound), (select max(id) from audit))
        order by id desc limit 1;
    if last.id is null then
        return 0;
    end if;
    insert into audit (what, source, detail) values (
        'audit.pruned', current_setting('application_name'),
        jsonb_build_object('upto', last.id, 'hash', encode(last.hash, 'hex'), 'rows', last.id - oldest + 1,
            'older', to_char(bound at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    perform set_config('pantau.pruning', 'on', true);
    delete from audit where id <= last.id;
    perform set_config('pantau.pruning', '', true);
    return last.id - oldest + 1;
end $$
"""
KEEP = """
create or replace function audit_keep() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('pantau.pruning', true) = 'on' then
        return null;
    end if;
    raise exception 'The audit is only added to: % is refused.', tg_op using errcode = 'insufficient_privilege';
end $$
"""
KEPT = """
create or replace function audit_keep() returns trigger language plpgsql as $$
begin
    raise exception 'The audit is only added to: % is refused.', tg_op using errcode = 'insufficient_privilege';
end $$
"""


def upgrade() -> None:
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    prune = PRUNE.replace("{lock}", str(LOCK)).replace("{youngest}", str(YOUNGEST))
    for body in (KEEP, prune):
        op.get_bind().exec_driver_sql(body.replace("%", "%%"))
    for name in ("audit_keep()", "audit_prune(timestamptz)"):
        op.execute(f"alter function {name} set search_path = pg_catalog, {schema}, pg_temp")
    op.execute("revoke execute on function audit_prune(timestamptz) from public")


def downgrade() -> None:
    op.execute("drop function audit_prune(timestamptz)")
    op.get_bind().exec_driver_sql(KEPT.replace("%", "%%"))
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    op.execute(f"alter function audit_keep() set search_path = pg_catalog, {schema}, pg_temp")
