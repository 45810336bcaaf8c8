# jinja: include "migrations/table_changes/" ~ cookiecutter.database ~ ".py"
