# jinja: include "app/connections/" ~ cookiecutter.database ~ ".py"
