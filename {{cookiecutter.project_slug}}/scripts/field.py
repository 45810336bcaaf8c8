"""Add a field to all files of a resource, and generate the migration.

Usage: python -m scripts.field task "due_on:date?"
"""

import argparse

from scripts.generator import run

parser = argparse.ArgumentParser(prog="python -m scripts.field")
parser.add_argument("resource", help="the resource, like task")
parser.add_argument("field", help="like due_on:date? or archived:bool=false")

if __name__ == "__main__":
    given = parser.parse_args()
    run("create_field", given.resource, given.field)
