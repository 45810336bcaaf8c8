# jinja: include "tests/database/" ~ cookiecutter.database ~ ".py"
