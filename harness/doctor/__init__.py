"""What this machine has for a run, what it lacks, and the cure for each lack."""
