"""Training of the embedded model, from public text to the packaged weights; see `python -m tools.train_embedded --help`."""
