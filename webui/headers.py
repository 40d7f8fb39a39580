"""What every answer says to the browser about itself: what may run, who may frame it, how it is packed."""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
PACKED = ("text/html", "application/json", "text/csv")
SMALL = 600


def install(app: Flask) -> None:
    """Put the headers on every answer, error pages included."""
    app.after_request(_pack)
    app.after_request(_guard)


def _guard(answer: Response) -> Response:
    for name, value in ALWAYS.items():
        answer.headers.setdefault(name, value)
    if request.is_secure:
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    # What a page says depends on who asks: nothing but the static files may be kept by anyone.
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


def _pack(answer: Response) -> Response:
    """Compress a finished page. Streams and files that are already packed pass as they are."""
    if answer.is_streamed or answer.direct_passthrough or answer.mimetype not in PACKED:
        return answer
    answer.vary.add("Accept-Encoding")
    if not request.accept_encodings["gzip"] or "Content-Encoding" in answer.headers:
        return answer
    body = answer.get_data()
    if len(body) < SMALL:
        return answer
    answer.set_data(gzip.compress(body, 5, mtime=0))
    answer.headers["Content-Encoding"] = "gzip"
    return answer
