"""Views with stable names, for Grafana and whatever else reads by SQL"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

VIEWS = {
    "machine": """
select h.id, h.name, h.address, d.name as division, s.name as site, h.enabled,
 case when not h.enabled then 'disabled' else coalesce(t.state, 'pending') end as state, t.since,
 exists (select from state_interval m where m.subject = 'maintenance:' || h.id and m.until is null) as maintenance
from host h left join division d on d.id = h.division_id left join site s on s.id = h.site_id
left join track t on t.subject = 'host:' || h.id
""",
    "machine_group": """
select h.id as machine_id, h.name as machine, g.name as "group"
from host_in_group i join host h on h.id = i.host_id join host_group g on g.id = i.group_id
""",
    "check": """
select c.id, h.id as machine_id, h.name as machine, c.name, c.kind, c.enabled, coalesce(t.state, 'pending') as state,
 l.ts as looked_at, l.took, l.failure_kind as failure, l.failure_detail as detail
from host_check c join host h on h.id = c.host_id left join track t on t.subject = 'check:' || c.id
left join latest l on l.check_id = c.id
""",
    "latest_value": """
select l.good_at as "time", h.id as machine_id, h.name as machine, c.id as check_id, c.name as "check", p.measure, p.part,
 p.unit, p.value
from latest l join host_check c on c.id = l.check_id join host h on h.id = l.host_id join metric_set m on m.id = l.set_id
cross join lateral unnest(m.names, m.parts, m.units, l.v) as p(measure, part, unit, value)
where p.value is not null
""",
    "sample": """
select r.ts as "time", h.id as machine_id, h.name as machine, c.id as check_id, c.name as "check", p.measure, p.part,
 p.unit, p.value
from raw r join host_check c on c.id = r.check_id join host h on h.id = c.host_id join metric_set m on m.id = r.set_id
cross join lateral unnest(m.names, m.parts, m.units, r.v) as p(measure, part, unit, value)
where p.value is not null
""",
    **{
        name: f"""
select r.ts as "time", h.id as machine_id, h.name as machine, c.id as check_id, c.name as "check", p.measure, p.part,
 p.unit, p.low, p.mean, p.high, r.n as looks, r.failed
from {table} r join host_check c on c.id = r.check_id join host h on h.id = c.host_id
join metric_set m on m.id = r.set_id
cross join lateral unnest(m.names, m.parts, m.units, r.vmin, r.vavg, r.vmax) as p(measure, part, unit, low, mean, high)
where p.mean is not null
"""  # noqa: S608 - our own words
        for name, table in (("hour", "roll_1h"), ("day", "roll_1d"))
    },
    "state": """
select h.id as machine_id, h.name as machine, i.state, i.since, i.until
from state_interval i join host h on h.id = i.host_id where i.subject = 'host:' || h.id
""",
    "maintenance": """
select h.id as machine_id, h.name as machine, i.since, i.until
from state_interval i join host h on h.id = i.host_id where i.subject = 'maintenance:' || h.id
""",
    "incident": """
select i.id, h.id as machine_id, h.name as machine, split_part(i.subject, ':', 1) as about,
 case when i.subject like 'metric:%' then split_part(i.subject, ':', 3) else '' end as measure,
 i.state, i.since, i.opened_at, i.closed_at, i.cause, p.name as owner, i.acknowledged_at, i.closing, i.merged_into
from incident i left join host h on h.id = i.host_id left join person p on p.id = i.owner_id
""",
    "message": """
select d.id, d.made_at, d.sent_at, d.state, n.kind, h.id as machine_id, h.name as machine, c.name as channel, d.attempts
from delivery d join notice n on n.id = d.notice_id left join host h on h.id = n.host_id
left join channel c on c.id = d.channel_id
""",
}
"""Documented in docs/grafana.md: a name once there stays, and so do its columns and what they mean."""


def upgrade() -> None:
    op.execute("create schema report")
    for name, query in VIEWS.items():
        op.execute(f'create view report."{name}" as {query}')
    op.execute("comment on schema report is 'Stable views for reports, see docs/grafana.md'")


def downgrade() -> None:
    op.execute("drop schema report cascade")
