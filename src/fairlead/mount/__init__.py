"""An endpoint inside an application: `fairlead.asgi` for FastAPI and Starlette, `fairlead.wsgi` for Flask and Django.

The application's process becomes a gateway of one endpoint. It is built of the parts that `serving` is built of, obeys the
same routing table and writes the same event log; only the sockets belong to somebody else.
"""
