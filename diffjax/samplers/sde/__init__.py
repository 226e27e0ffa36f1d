"""The reverse SDE: predictors of its steps, and predictor-corrector sampling."""
