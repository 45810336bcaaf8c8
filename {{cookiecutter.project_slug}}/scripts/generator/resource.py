"""Create a resource, or add a field to an existing one."""

from app.config import PROJECT
from scripts.generator.fields import Field, parse_fields
from scripts.generator.names import FILES, Names, check_field, resource_names
from scripts.generator.project import Project
from scripts.generator.source import GeneratorError


def create_resource(name: str, fields: str, plural: str = "") -> None:
    """Write the files of a new resource. If it raises GeneratorError, nothing was changed."""
    names, project = resource_names(name, plural), Project()
    for kind in FILES:
        project.create(names.file(kind), names.rendered(kind))
    for field in parse_fields(fields):
        _add_field(project, names, field)
    _register(project, names)
    project.write(f"add {names.many.replace('_', ' ')}")


def create_field(resource: str, text: str) -> None:
    """Add a field to an existing resource. If it raises GeneratorError, nothing was changed."""
    one, project = resource.replace("-", "_"), Project()
    names = Names(one, "")
    if not (PROJECT / names.file("model")).exists():
        files = (PROJECT / "app/models").glob("[!_]*.py")
        others = sorted(file.stem for file in files if file.stem != "base")
        raise GeneratorError(f"There is no resource {resource[:50]!r}, only {', '.join(others)}.")
    model = project.source(names.file("model"))
    names = Names(one, model.constant("__tablename__", names.model))
    fields = parse_fields(text)
    if len(fields) > 1:
        raise GeneratorError("Add one field at a time.")
    _add_field(project, names, fields[0])
    project.write(f"add {fields[0].name} to {names.many}")


def _add_field(project: Project, names: Names, field: Field) -> None:
    check_field(names, field)
    resource = names.model
    model = project.source(names.file("model"))
    model.add_member(resource, field.in_model())
    for item in field.in_table_args():
        model.add_element("__table_args__", item, class_name=resource, after="__tablename__")

    schema = project.source(names.file("schema"))
    if field.choices:
        schema.add_definition(field.definition(resource))
    schema.add_member(f"{resource}Create", field.in_create(resource))
    schema.add_member(f"{resource}Update", field.in_update(resource))
    schema.add_member(f"{resource}Read", field.in_read(resource), before="version")
    for parameter in field.in_query(resource):
        schema.add_member(f"{resource}Query", parameter)

    repository = project.source(names.file("repository"))
    for item in field.in_filters(resource):
        repository.add_element("filters", item, class_name=f"{resource}Repository", after="model")

    if not field.table:
        tests = project.source(names.file("tests"))
        tests.add_argument_entry("Resource", "accepted", field.in_accepted())
        tests.add_argument_entry("Resource", "rejected", field.in_rejected())


def _register(project: Project, names: Names) -> None:
    """Add the resource to the lists of all models, routers and test resources."""
    models = project.source("app/models/__init__.py")
    models.add_import(f"app.models.{names.one}", names.model)
    models.add_element("__all__", f'"{names.model}"')

    routers = project.source("app/routers/__init__.py")
    routers.add_import("app.routers", names.one)
    routers.add_element("ROUTERS", f"{names.one}.router", before="me.router")

    tests = project.source("tests/resources/__init__.py")
    tests.add_import(f"tests.resources.{names.one}", names.constant)
    tests.add_element("RESOURCES", names.constant)
