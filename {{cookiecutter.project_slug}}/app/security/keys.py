# jinja: include "app/security/keys/" ~ cookiecutter.token_verification ~ ".py"
