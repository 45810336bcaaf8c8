"""Generate a resource: model, schemas, repository, router, test values, and a migration.

Usage: python -m scripts.resource note "title:str due_on:date? task:ref(tasks)"
"""

import argparse

from scripts.generator import run

parser = argparse.ArgumentParser(prog="python -m scripts.resource")
parser.add_argument("name", help="the singular, like note or task_list")
parser.add_argument("fields", nargs="+", help="like title:str, due_on:date?, archived:bool=false")
parser.add_argument("--plural", default="", help="the plural, if it is irregular")

if __name__ == "__main__":
    given = parser.parse_args()
    run("create_resource", given.name, " ".join(given.fields), given.plural)
