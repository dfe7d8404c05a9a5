"""Textbook statistics as pure functions: how the control half says whether one version is worse than another.

Whoever steers a rollout looks at it all the time, and a test that is looked at all the time lies: four times in ten where one in twenty
was promised. What stands here keeps its promise at every moment at once. `share` compares two rates, `sequences` and `betting` bound
a rate or a mean, `covariate` makes a mean sharper, `quantiles` bounds a latency, `mismatch` asks whether the traffic was divided as
planned, `groups` is for a test with a known end, and `planning` says beforehand how much data a question needs. `mixtures` is what
several of them are made of. `docs/statistics.md` tells which is used where, and what it promises.

Nothing here knows a model, an event or a rollout: numbers go in, numbers come out. The request half never imports it.
"""
