export const appName = {{ cookiecutter.project_name | jsonify }};
