"""Lines to and fro, as SMTP, IMAP, POP3 and FTP speak them: bounded, and nothing taken in beyond what was asked."""

from __future__ import annotations

import socket

from probes.limits import clean

LINE_BYTES = 2048
"""The longest line: four times what RFC 5321 (4.5.3.1.5) allows a reply."""
LINES = 100
"""The most lines of one reply."""


class Unspoken(Exception):
    """The far side does not say what its protocol wants; the text is a sentence for a person."""


class Dialogue:
    """A conversation on a connected socket. `speaks` names the protocol in sentences."""

    def __init__(self, line: socket.socket, speaks: str) -> None:
        self._line, self._speaks = line, speaks
        self._heard = b""

    def say(self, text: str) -> None:
        """One line out."""
        self._line.sendall(text.encode("ascii") + b"\r\n")

    def hear(self) -> str:
        """One line in, without its end. Raises Unspoken, EOFError, or what the socket raises."""
        while b"\n" not in self._heard:
            if len(self._heard) > LINE_BYTES:
                raise Unspoken(f"What answers there does not speak {self._speaks}: it says '{clean(self._heard, 60)}'.")
            more = self._line.recv(LINE_BYTES)
            if not more:
                if self._heard:
                    raise Unspoken(f"The server hangs up in the middle of a line: '{clean(self._heard, 60)}'.")
                raise EOFError
            self._heard += more
        said, _, self._heard = self._heard.partition(b"\n")
        return said.rstrip(b"\r").decode("utf-8", "replace")

    def reply(self) -> tuple[int, tuple[str, ...]]:
        """A reply of SMTP (RFC 5321, 4.2) or FTP (RFC 959, 4.2): its code and the texts of its lines."""
        texts = []
        for _ in range(LINES):
            said = self.hear()
            code, more, text = said[:3], said[3:4], said[4:]
            if not (code.isascii() and code.isdigit() and more in ("", " ", "-")):
                raise Unspoken(f"What answers there does not speak {self._speaks}: it says '{clean(said, 60)}'.")
            texts.append(text)
            if more != "-":
                return int(code), tuple(texts)
        raise Unspoken(f"The server says more than {LINES} lines where one is due.")

    def hush(self) -> None:
        """Before TLS begins: what was said beyond the last reply could be anybody's, and ends the conversation."""
        if self._heard:
            raise Unspoken("The server says more than it should before TLS begins: somebody may be in between.")
