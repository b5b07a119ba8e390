"""What the tests share: tiny models, a tokenizer of words, the table of methods, and the laws that all keep."""
