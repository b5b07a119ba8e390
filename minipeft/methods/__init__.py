"""Every way of fine-tuning a frozen model cheaply, one short file each; `registry.METHODS` lists them."""
