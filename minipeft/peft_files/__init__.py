"""Adapter files of the peft library, written and read: folders of adapter_config.json and adapter_model.safetensors."""
