"""What PostgreSQL is asked: one statement a subject, from its own statistics views, so that one refused leaves the rest.

Sources are the views of the PostgreSQL manual, chapter "The Cumulative Statistics System", and its system
functions (recovery, backup and database object size). All hold for version 10 and newer, as far as not said. At most 50 databases, replicas and slots are told one by one.
"""

FLOOR = 100_000
"""The oldest server_version_num these statements are right for."""

BASICS = """
select current_setting('server_version'), current_setting('server_version_num'), pg_is_in_recovery(),
       extract(epoch from clock_timestamp() - pg_postmaster_start_time()),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
       pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
       extract(epoch from pg_postmaster_start_time())
"""

DATABASE_ROWS = """
select datname, xact_commit + xact_rollback, xact_rollback, blks_hit, blks_read, deadlocks, temp_bytes, numbackends
from pg_stat_database where datname is not null and datname not in ('template0', 'template1')
order by xact_commit desc limit 50
"""
DATABASE_TOTALS = """
select sum(xact_commit + xact_rollback), sum(xact_rollback), sum(blks_hit), sum(blks_read), sum(deadlocks),
       sum(temp_bytes) from pg_stat_database
"""
SIZES = """
select datname, pg_database_size(oid) from pg_database
where datallowconn and not datistemplate
  and (has_database_privilege(oid, 'connect') or pg_has_role(current_user, 'pg_read_all_stats', 'usage'))
order by oid limit 50
"""
ACTIVITY = """
with seen as (
  select pid, coalesce(state, '') as state, wait_event_type,
         extract(epoch from clock_timestamp() - xact_start) as open_for,
         extract(epoch from clock_timestamp() - query_start) as asked_for,
         extract(epoch from clock_timestamp() - state_change) as so_for
  from pg_stat_activity where datname is not null and pid <> pg_backend_pid()
    and coalesce(backend_type, 'client backend') = 'client backend'
)
select count(*) + 1,
       count(*) filter (where state = 'active'),
       count(*) filter (where state = 'idle'),
       count(*) filter (where state like 'idle in transaction%'),
       count(*) filter (where state like 'idle in transaction%' and so_for > 300),
       count(*) filter (where state = 'active' and asked_for > {slow}),
       count(*) filter (where wait_event_type = 'Lock' and cardinality(pg_blocking_pids(pid)) > 0),
       greatest(0, max(open_for), (select max(extract(epoch from clock_timestamp() - prepared)) from pg_prepared_xacts))
from seen
"""
"""The first number counts our own connection. The last is the age of the oldest transaction, prepared ones included."""

WRAPAROUND = """
select datname, greatest(age(datfrozenxid), mxid_age(datminmxid)) from pg_database order by 2 desc limit 1
"""
"""The transaction counters are 31 bits wide; near 2^31 the server stops taking writes (routine-vacuuming)."""

ARCHIVER = """
select archived_count, failed_count,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), last_failed_wal
from pg_stat_archiver where current_setting('archive_mode') <> 'off'
"""

REPLICAS = """
select coalesce(nullif(application_name, ''), host(client_addr), 'local'), coalesce(host(client_addr), ''), state,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end,
                       replay_lsn),
       extract(epoch from replay_lag)
from pg_stat_replication order by 1, 2, pid limit 50
"""
SLOTS = """
select slot_name, active, slot_type, to_jsonb(s) ->> 'wal_status',
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end,
                       restart_lsn)
from pg_replication_slots s where not coalesce(temporary, false) order by 1 limit 50
"""
"""wal_status is there from version 13 on: by way of JSON the statement holds for the older ones too."""

STANDBY = """
select coalesce((select status from pg_stat_wal_receiver limit 1), ''),
       coalesce(current_setting('primary_conninfo', true), ''),
       coalesce(pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn(), false),
       extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()),
       pg_is_wal_replay_paused(),
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
"""

STATEMENTS_AT = """
select quote_ident(n.nspname), a.attname
from pg_extension e join pg_namespace n on n.oid = e.extnamespace
join pg_class c on c.relnamespace = n.oid and c.relname = 'pg_stat_statements'
join pg_attribute a on a.attrelid = c.oid and a.attname in ('total_exec_time', 'total_time')
where e.extname = 'pg_stat_statements'
"""
STATEMENTS = "select sum(calls), sum({column}) / 1000 from {schema}.pg_stat_statements"
