"""Edge Pipeline: finetune."""
