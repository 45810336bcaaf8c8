# jinja: include "tests/test_connections/" ~ cookiecutter.database ~ ".py"
