export const appName = {{ cookiecutter.project_name | jsonify }};
export const appSlug = {{ cookiecutter.project_slug | jsonify }};
