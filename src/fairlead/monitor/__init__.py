"""Keeps watch: what has changed since training, how well the service and the model do, and whether that can be said at all.

```
events at rest ─▶ window ─▶ profile ─▶ judge (pure) ─▶ Report ─▶ store, gauges, page, alert
                     bundle's profile ─┘
```

A report is a list of findings, each with its verdict, and `insufficient` is one. Nothing that is odd about one column stops the others.
"""
