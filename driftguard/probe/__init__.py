"""Is an environment still as its last plan found it? Answered without a plan."""
