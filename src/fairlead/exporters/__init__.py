"""Exporters make files that others run: here, what starts a service and stands before it.

Each is a plug-in (`exporter.py` says of what kind); the command line is `fairlead export NAME -o FOLDER`. Every value goes into a
file through the encoder of that file's own grammar, and a value that the grammar cannot hold is refused.
"""
