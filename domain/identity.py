"""The tables of how people show who they are: what they typed before they did, factors, tickets, pictures."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, func
from sqlalchemy.orm import Mapped, mapped_column

from domain.table import Table


class ParkedForm(Table):
    """A form that was sent by somebody who first had to show who they are, kept until they did.

    `sealed` is AES-256-GCM by a key made from the random token in their browser's cookie, of which the database knows
    only the hash: nobody else can read what was typed. `path` is where it was sent, and is bound to it.
    """

    __tablename__ = "parked_form"

    id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("session.id", ondelete="CASCADE"), index=True)
    path: Mapped[str]
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    parked_at: Mapped[datetime] = mapped_column(server_default=func.now())
