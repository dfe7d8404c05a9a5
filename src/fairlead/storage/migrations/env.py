"""What Alembic runs to carry out migrations, on the connection that `database.migrate` gives.

The connection is in a transaction already, so the steps happen together or not at all, on SQLite as well.
"""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=True, render_as_batch=True)
context.run_migrations()
