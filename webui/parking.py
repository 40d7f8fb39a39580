"""What somebody typed is kept while they show who they are: sealed with what only their browser holds."""

from __future__ import annotations

import json
import os
import uuid
from datetime import timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select
from werkzeug.datastructures import ImmutableMultiDict, MultiDict

from domain.clock import now
from domain.identity import ParkedForm
from webui import cookies, store

KEPT = timedelta(hours=1)
MOST = 5
"""Forms one session keeps waiting; the oldest goes."""


def park(session_id: str, path: str, form: MultiDict[str, str]) -> str:
    """Keep `form`, which was sent to `path`; gives the name to take it back by. Commits."""
    database, name = store.session(), str(uuid.uuid4())
    nonce = os.urandom(12)
    body = json.dumps(list(form.items(multi=True))).encode()
    sealed = nonce + AESGCM(_key()).encrypt(nonce, body, _place(name, path))
    waiting = select(ParkedForm.id).where(ParkedForm.session_id == session_id).order_by(ParkedForm.parked_at.desc())
    surplus = list(database.scalars(waiting))[MOST - 1 :]
    database.execute(delete(ParkedForm).where(ParkedForm.id.in_(surplus) | (ParkedForm.parked_at < now() - KEPT)))
    database.add(ParkedForm(id=name, session_id=session_id, path=path, sealed=sealed))
    database.commit()
    return name


def waits(session_id: str, name: str, path: str) -> bool:
    """Whether a form of this session waits for `path` under `name`."""
    return _find(session_id, name, path) is not None


def take(session_id: str, name: str, path: str) -> ImmutableMultiDict[str, str] | None:
    """The form that was kept, once: it is gone with the caller's commit. None where there is none, or it does not open."""
    kept = _find(session_id, name, path)
    if kept is None:
        return None
    store.session().delete(kept)
    try:
        body = AESGCM(_key()).decrypt(kept.sealed[:12], kept.sealed[12:], _place(name, path))
    except InvalidTag:
        return None
    return ImmutableMultiDict([(str(key), str(value)) for key, value in json.loads(body)])


def _find(session_id: str, name: str, path: str) -> ParkedForm | None:
    return store.session().scalar(
        select(ParkedForm).where(
            ParkedForm.id == name,
            ParkedForm.session_id == session_id,
            ParkedForm.path == path,
            ParkedForm.parked_at > now() - KEPT,
        )
    )


def _place(name: str, path: str) -> bytes:
    return f"{name} {path}".encode()


def _key() -> bytes:
    token = cookies.read("session").encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"pantau parked form").derive(token)
