"""What Alembic runs to migrate: over the connection that `central.migrations` was given."""

from alembic import context

from central.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
