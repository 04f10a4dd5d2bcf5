"""WHO comes and WHAT product they meet; the words that all rooms share. Imports nothing of ours."""
