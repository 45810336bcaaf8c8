# jinja: include "tests/security/test_keys/" ~ cookiecutter.token_verification ~ ".py"
