# jinja: include "app/engine/" ~ cookiecutter.database ~ ".py"
