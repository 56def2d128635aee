"""scikit-learn's logistic regression, fitted as a page fits its head."""

import math
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression


def regression(
    rows: np.ndarray, labels: Sequence[int], others: np.ndarray
) -> np.ndarray:
    """Return the probabilities of other rows, (N, K)."""
    # of two classes it fits the difference alone, at half the price
    strength = 10 * (2 if len(set(labels)) == 2 else 1)
    model = LogisticRegression(C=strength, tol=1e-10, max_iter=100_000)
    model.fit(standardised(rows, rows), labels)
    return model.predict_proba(standardised(rows, others))


def standardised(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Standardise others as the page standardises by rows."""
    spread = rows.std(0)
    width = (spread + 0.1 * spread.mean()) * math.sqrt(rows.shape[1])
    return (others - rows.mean(0)) / width
