"""Labels and predictions as arrays of text, which tests reckon with, and as the names that measures take."""

import numpy as np

from fairlead.columns import Names
from fairlead.monitor.measures.labelled import Labelled


def named(texts):
    """Names of an array of texts; `None` is missing."""
    found = np.asarray(texts, object)
    there = np.array([one is not None for one in found], bool)
    values, codes = np.unique(found[there].astype(str), return_inverse=True)
    every = np.full(len(found), -1, np.int64)
    every[there] = codes
    return Names(every, tuple(values.tolist()))


def texts(names):
    """And back."""
    return np.array([*names.values, None], object)[names.codes]


def classified(labels, predictions, scores, classes):
    """Rows of a classification; columns that are names already stay as they are."""
    labels, predictions = (one if isinstance(one, Names) else named(one) for one in (labels, predictions))
    return Labelled(labels, predictions, scores, classes)
