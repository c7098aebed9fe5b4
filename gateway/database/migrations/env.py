"""Runs revisions on the connection that ``gateway.database.migrate`` hands over."""

from alembic import context

from gateway.database.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
