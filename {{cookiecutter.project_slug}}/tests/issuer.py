# jinja: include "tests/issuer/" ~ cookiecutter.token_verification ~ ".py"
