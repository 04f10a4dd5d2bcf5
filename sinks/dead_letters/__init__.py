"""Dead letters: what a sink could not decode, kept where it can be read, judged and sent again."""
