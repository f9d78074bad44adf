"""Labels and numbers from similarity: estimators by scikit-learn's protocol, how sure they are, and how good."""
