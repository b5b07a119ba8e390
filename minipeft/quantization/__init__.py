"""Weights in 4 or 8 bits: number formats, blocks, double quantization, and a linear layer that is stored so."""
