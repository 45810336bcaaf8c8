# jinja: include "tests/test_database_url/" ~ cookiecutter.database ~ ".py"
