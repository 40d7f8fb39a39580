"""Threads that go on in Telegram"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0045b"
down_revision = "0045a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "joint",
        sa.Column("thread_id", sa.BigInteger(), sa.ForeignKey("thread.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("channel_id", sa.Integer(), sa.ForeignKey("channel.id", ondelete="CASCADE"), nullable=False),
        sa.Column("chat", sa.Text(), nullable=False),
        sa.Column("topic", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("sent", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("trouble", sa.Text(), server_default="", nullable=False),
        sa.Column("made_by", sa.Integer(), sa.ForeignKey("person.id", ondelete="SET NULL")),
        sa.Column("made_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.UniqueConstraint("channel_id", "chat", "topic", name=op.f("joint_channel_id_chat_topic_key")),
    )
    op.execute("alter table joint enable row level security")
    op.execute(
        "create policy divisions on joint using"
        " (current_user <> 'pantau_web' or exists (select from thread where id = thread_id))"
    )
    op.add_column("linking", sa.Column("thread_id", sa.BigInteger(), sa.ForeignKey("thread.id", ondelete="CASCADE")))


def downgrade() -> None:
    op.execute("delete from linking where thread_id is not null")
    op.drop_column("linking", "thread_id")
    op.drop_table("joint")
