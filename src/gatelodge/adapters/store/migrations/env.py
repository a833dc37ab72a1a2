"""Run by Alembic: the steps go over the connection of `migrate`, inside its transaction."""

from alembic import context

settings = context.config.attributes
context.configure(
    connection=settings["connection"],
    version_table=settings["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
