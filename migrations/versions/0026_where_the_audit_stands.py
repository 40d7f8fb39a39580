"""Where the audit stands, for whoever may not read it"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "create function audit_stands() returns text language sql stable security definer as"
        " $$ select id || ':' || encode(hash, 'hex') from audit order by id desc limit 1 $$"
    )
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar()
    op.execute(f"alter function audit_stands() set search_path = pg_catalog, {schema}, pg_temp")


def downgrade() -> None:
    op.execute("drop function audit_stands()")
