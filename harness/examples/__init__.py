"""Example sets other than the curated one: imported from the authors' files, drawn from train splits, shuffled."""
