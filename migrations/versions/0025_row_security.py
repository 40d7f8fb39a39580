"""The database itself keeps divisions apart: a second lock behind webui/access.py"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

ME = "nullif(current_setting('pantau.person', true), '')::int"
HOUSE = "0"
FUNCTIONS = f"""
create function pantau_whole() returns boolean language sql stable parallel safe as $$
 select coalesce({ME} = {HOUSE}, false) or exists (select from person where id = {ME} and active and role <> 'none')
$$;
create function pantau_divisions() returns setof int language sql stable parallel safe as $$
 select m.division_id from membership m join person p on p.id = m.person_id where p.id = {ME} and p.active
$$;
"""  # noqa: S608 - our own words
FREE = "current_user <> 'pantau_web' or (select pantau_whole())"
HOST = "host_id in (select id from host)"
CHECK = "check_id in (select id from host_check)"
OWN = f"asked_by = {ME}"
RULES = {
    "host": "division_id in (select pantau_divisions())",
    **dict.fromkeys(
        ("host_check", "host_in_group", "host_key", "load_test", "band", "fact", "forecast", "latest", "note",
         "incident_member", "track", "change", "state_interval", "notice"),
        HOST,
    ),
    **dict.fromkeys(("failure", "hour_range", "job", "raw", "roll_1h", "roll_1d", "watch_cost"), CHECK),
    "incident": f"{HOST} or id in (select incident_id from incident_member)",  # noqa: S608 - our own words
    "incident_event": "incident_id in (select id from incident)",
    "maintenance_window": f"{HOST} or host_id is null and (division_id is null or division_id in (select pantau_divisions()))",
    "threshold": f"{HOST} or host_id is null and (division_id is null or division_id in (select pantau_divisions()))",
    "look": f"{HOST} or {OWN}",
    "discovery": OWN,
    "found": "discovery_id in (select id from discovery)",
}  # fmt: skip
"""Which rows a person reaches through the web's role, beside those who reach all of them."""


def upgrade() -> None:
    op.execute("alter table channel add armed boolean generated always as (sealed is not null) stored not null")
    op.execute(FUNCTIONS)
    for table, rule in RULES.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"create policy divisions on {table} using ({FREE} or {rule})")


def downgrade() -> None:
    op.drop_column("channel", "armed")
    for table in RULES:
        op.execute(f"drop policy divisions on {table}")
        op.execute(f"alter table {table} disable row level security")
    op.execute("drop function pantau_divisions(); drop function pantau_whole()")
