"""Limits every installation comes with, for databases, certificates, clocks and hypervisors"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DAY = 86400
# Measure, state, over, under, clear, for_s, clear_for_s. A certificate is told of at 30, 14, 7 and 1 days: the first and
# third by its seconds, the others by how many steps of the check's ladder (30, 14, 7, 1) are passed.
LIMITS = (
    ("tls.certificate.expiry", "warning", None, 30 * DAY, None, 0, 0),
    ("tls.certificate.expiry", "critical", None, 7 * DAY, None, 0, 0),
    ("tls.certificate.rung", "warning", 1, None, None, 0, 0),
    ("tls.certificate.rung", "critical", 3, None, None, 0, 0),
    ("ntp.offset.absolute", "warning", 1, None, 0.5, 300, 0),
    ("postgresql.connections.utilization", "warning", 0.8, None, 0.75, 300, 0),
    ("postgresql.connections.utilization", "critical", 0.95, None, 0.9, 60, 0),
    ("postgresql.replication.lag", "warning", 300, None, 60, 300, 0),
    ("postgresql.wraparound.utilization", "warning", 0.5, None, 0.45, 0, 0),
    ("postgresql.transaction.oldest", "warning", 3600, None, None, 0, 0),
    ("postgresql.sessions.blocked", "warning", 0, None, None, 300, 0),
    ("mysql.connections.utilization", "warning", 0.8, None, 0.75, 300, 0),
    ("mysql.connections.utilization", "critical", 0.95, None, 0.9, 60, 0),
    ("mysql.replica.time_behind_source", "warning", 300, None, 60, 300, 0),
    ("mysql.transactions.blocked", "warning", 0, None, None, 300, 0),
    ("redis.memory.utilization", "warning", 0.9, None, 0.85, 300, 0),
    ("redis.clients.utilization", "warning", 0.8, None, 0.75, 300, 0),
    ("apache.workers.utilization", "warning", 0.8, None, 0.7, 300, 0),
    ("proxmox.storage.utilization", "warning", 0.85, None, 0.84, 0, 0),
    ("proxmox.storage.utilization", "critical", 0.95, None, 0.94, 0, 0),
    ("proxmox.node.filesystem.utilization", "warning", 0.85, None, 0.84, 0, 0),
    ("proxmox.node.memory.utilization", "warning", 0.9, None, 0.85, 300, 300),
)

NUMBERS = ("over", "under", "clear", "for_s", "clear_for_s")


def upgrade() -> None:
    """Only where nobody has set limits of their own for every machine on that measure already."""
    insert = sa.text(
        "insert into threshold (measure, part, state, over, under, clear, for_s, clear_for_s)"
        " select :measure, '', :state, :over, :under, :clear, :for_s, :clear_for_s"
        " where not exists (select from threshold where host_id is null and group_id is null"
        " and measure = :measure and part = '' and state = :state)"
    ).bindparams(
        *(sa.bindparam(name, type_=sa.Text()) for name in ("measure", "state")),
        *(sa.bindparam(name, type_=sa.Double()) for name in NUMBERS),
    )
    for measure, state, *numbers in LIMITS:
        values = {"measure": measure, "state": state, **dict(zip(NUMBERS, numbers, strict=True))}
        op.get_bind().execute(insert, values)


def downgrade() -> None:
    """Limits stay: whoever goes back may have made them their own."""
