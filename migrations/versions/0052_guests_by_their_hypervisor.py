"""Which hypervisor may restart a guest, for whoever sees the guest and not the hypervisor"""

from alembic import op

revision = "0052"
down_revision = "0050"
branch_labels = None
depends_on = None

# A machine is a guest where a machine above it tells of one by its name (domain/guests.py): itself, or of its cluster.
# What is told of the hypervisor is what an agreement is bound to; the web shows none of it.
HYPERVISORS = r"""
create function pantau_hypervisors(wanted int)
returns table (hypervisor int, check_id int, kind text, guest text, said text, place jsonb)
language sql stable security definer as $$
    with me as (
        select g.id, lower(split_part(btrim(g.name), '.', 1)) as label from host g
        where g.id = wanted and (
            session_user not in ('pantau_web', 'pantau_notifier', 'pantau_reader')
            or session_user = 'pantau_web'
            and ((select pantau_whole()) or g.division_id in (select pantau_divisions()))
        )
    ), told as (
        select f.host_id, f.check_id, f.name, f.part, f.value,
            case when f.name = 'proxmox.guest' then coalesce(substring(f.part from '^[0-9]{1,9} (.+)$'), f.part)
                else f.part end as guest,
            case when f.name = 'proxmox.guest' then lower(substring(f.value from ', on ([^ ]{1,64})$')) end as node
        from fact f where f.name in ('proxmox.guest', 'hyperv.guest.state')
    )
    select h.id, c.id, c.kind, t.part, t.value, jsonb_build_object(
        'host', h.id, 'address', h.address, 'login', h.action_credential_id, 'check', c.id, 'way', c.kind,
        'options', c.options, 'keys', coalesce(
            (select jsonb_agg(k.fingerprint order by k.fingerprint) from host_key k
                where k.host_id = h.id and k.state = 'pinned'), jsonb_build_array()))
    from me
    join told t on lower(split_part(btrim(t.guest), '.', 1)) = me.label
    join host h on h.id = t.host_id and h.enabled
    join host_check c on c.id = t.check_id and c.enabled and c.kind in ('proxmox', 'winrm')
    where h.id <> me.id
        and not exists (
            select 1 from host o where o.id <> me.id and lower(split_part(btrim(o.name), '.', 1)) = me.label)
        and exists (
            select 1 from host_parent l join host p on p.id = l.parent_id
            where l.host_id = me.id and (p.id = h.id or lower(split_part(btrim(p.name), '.', 1)) = t.node))
    order by h.id, c.id, t.part
$$
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(HYPERVISORS)
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    op.execute(f"alter function pantau_hypervisors(int) set search_path = pg_catalog, {schema}, pg_temp")


def downgrade() -> None:
    op.execute("drop function pantau_hypervisors(int)")
