"""What normal looked like: a table, a window or a year as counts in bins that never change.

A profile is made once, of the training data, and fixes the bins; whatever is counted later is counted in the same bins, so two
windows, two gateways or two days are merged by adding integers. It holds aggregates only: no row can be read back from it.
"""
