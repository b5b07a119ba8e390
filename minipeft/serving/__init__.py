"""Many trained adapters at work on one base. Nothing is trained here, so nothing here is a method of the registry.

mixed_batch            rows of one batch, each with the prompt or the LoRA of its own task
lora_sum               several LoRAs at once, each with a weight, and the one LoRA that is the same
shared_lower_layers    several tasks on one text: the layers below all adapters run once
"""
