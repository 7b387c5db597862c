"""What is happening: admission, queue and slots, executions, receipts, repair at the start."""
