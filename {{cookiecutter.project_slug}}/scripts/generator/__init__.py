"""Write the files of a resource, and add fields to them: `make resource` and `make field`.

`templates/` holds a resource without fields, and `fields.py` what a field of each type adds to it.
Both are yours to change. Existing files are edited by inserting lines, so your own code in them
stays as it is.
"""
