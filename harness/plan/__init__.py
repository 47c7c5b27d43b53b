"""What a run will cost, told before any weight loads: texts, tokens, vectors, time, and what is missing offline."""
