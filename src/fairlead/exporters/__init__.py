"""Exporters make files for others: what starts a service, stands before it and watches it, and its answers for other monitors.

Each is a plug-in (`exporter.py` says of what kind); the command line is `fairlead export NAME -o FOLDER`. Every value goes into a
file through the encoder of that file's own grammar, and a value that the grammar cannot hold is refused.
"""
