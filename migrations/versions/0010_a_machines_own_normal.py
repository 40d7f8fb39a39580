"""A machine's own normal, limits of divisions, edits of limits that can be undone, forecasts, load tests"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MOMENT = TIMESTAMP(timezone=True)
OLD = "threshold_host_id_group_id_measure_part_state_key"
NEW = "threshold_owner_measure_part_state_key"


def upgrade() -> None:
    op.add_column("threshold", sa.Column("division_id", sa.Integer()))
    op.create_foreign_key(
        op.f("threshold_division_id_fkey"), "threshold", "division", ["division_id"], ["id"], ondelete="CASCADE"
    )
    op.create_index(op.f("threshold_division_id_idx"), "threshold", ["division_id"])
    op.drop_constraint(op.f("threshold_one_owner_check"), "threshold", type_="check")
    op.create_check_constraint(
        op.f("threshold_one_owner_check"), "threshold", "num_nonnulls(host_id, group_id, division_id) <= 1"
    )
    op.drop_constraint(op.f(OLD), "threshold", type_="unique")
    op.create_unique_constraint(
        op.f(NEW), "threshold", ["host_id", "group_id", "division_id", "measure", "part", "state"],
        postgresql_nulls_not_distinct=True,
    )  # fmt: skip
    op.add_column("host", sa.Column("sensitivity", sa.Text(), server_default="usual", nullable=False))
    op.add_column("host", sa.Column("learn_from", MOMENT))
    op.create_check_constraint(
        op.f("host_sensitivity_check"), "host", "sensitivity in ('off', 'wide', 'usual', 'narrow')"
    )
    op.create_table(
        "limit_edit",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("made_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("made_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("before", JSONB(), nullable=False),
        sa.Column("after", JSONB(), nullable=False),
        sa.Column("undone_at", MOMENT),
    )
    op.create_table(
        "hour_range",
        sa.Column("check_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("ts", MOMENT, primary_key=True),
        sa.Column("set_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("places", ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("low", ARRAY(sa.REAL()), nullable=False),
        sa.Column("high", ARRAY(sa.REAL()), nullable=False),
    )
    op.create_table(
        "band",
        sa.Column("check_id", sa.Integer(), sa.ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("measure", sa.Text(), primary_key=True),
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE"), nullable=False),
        sa.Column("learnt_at", MOMENT, nullable=False),
        sa.Column("sensitivity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        *(sa.Column(name, ARRAY(sa.REAL()), nullable=False) for name in ("low", "high", "under", "over")),
    )
    op.create_index(op.f("band_host_id_idx"), "band", ["host_id"])
    op.create_table(
        "forecast",
        sa.Column("check_id", sa.Integer(), sa.ForeignKey("host_check.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("measure", sa.Text(), primary_key=True),
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE"), nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("used", sa.REAL(), nullable=False),
        sa.Column("per_day", sa.REAL(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("full_at", MOMENT, nullable=False),
        sa.Column("earliest", MOMENT, nullable=False),
        sa.Column("latest", MOMENT, nullable=False),
    )
    op.create_index(op.f("forecast_host_id_idx"), "forecast", ["host_id"])
    op.create_index(op.f("forecast_full_at_idx"), "forecast", ["full_at"])
    op.create_table(
        "load_test",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("host_id", sa.Integer(), sa.ForeignKey("host.id", ondelete="CASCADE"), nullable=False),
        sa.Column("made_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("idle_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("load_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.CheckConstraint("minutes between 2 and 10", name=op.f("load_test_minutes_check")),
    )
    op.create_index(op.f("load_test_host_id_idx"), "load_test", ["host_id"])
    op.execute(
        "create trigger load_test_tells after insert or update or delete on load_test"
        " for each statement execute function tell_inventory()"
    )


def downgrade() -> None:
    """Limits of divisions have no place in the version before."""
    for table in ("load_test", "forecast", "band", "hour_range", "limit_edit"):
        op.drop_table(table)
    op.drop_constraint(op.f("host_sensitivity_check"), "host", type_="check")
    op.drop_column("host", "learn_from")
    op.drop_column("host", "sensitivity")
    op.execute("delete from threshold where division_id is not null")
    op.drop_constraint(op.f(NEW), "threshold", type_="unique")
    op.drop_constraint(op.f("threshold_one_owner_check"), "threshold", type_="check")
    op.drop_column("threshold", "division_id")
    op.create_check_constraint(op.f("threshold_one_owner_check"), "threshold", "host_id is null or group_id is null")
    op.create_unique_constraint(
        op.f(OLD), "threshold", ["host_id", "group_id", "measure", "part", "state"], postgresql_nulls_not_distinct=True
    )
