"""Handing the results of a run on: to mteb's results repository, to a model card, to other programs."""
