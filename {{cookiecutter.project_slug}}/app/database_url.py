# jinja: include "app/database_url/" ~ cookiecutter.database ~ ".py"
