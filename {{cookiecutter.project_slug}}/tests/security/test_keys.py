# jinja: include "tests/test_keys/" ~ cookiecutter.token_verification ~ ".py"
