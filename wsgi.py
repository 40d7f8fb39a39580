"""Front door for any WSGI server: `app`."""

from config.settings import load
from webui import create_app

app = create_app(load())
