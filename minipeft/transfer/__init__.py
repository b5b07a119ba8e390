"""Where a prompt may start: what `minipeft pretrain-prompt` and `minipeft transfer` work with.

prompt_pretraining    questions that documents answer themselves, without labels
pseudo_labels         single texts with the grade that a classifier gives them
prompt_data           both of these as the splits of a task that fits a model
task_embeddings       which tasks are alike, by their prompts
"""
