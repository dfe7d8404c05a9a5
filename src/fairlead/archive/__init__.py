"""Events at rest: what the gateways have appended, compacted to Parquet by endpoint and day, with the labels joined whenever they come.

The request half appends to segments and knows nothing of this room. Nothing that was appended is lost on the way: a segment goes only
after everything in it stands elsewhere, durably.
"""
