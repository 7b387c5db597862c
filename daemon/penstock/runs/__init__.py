"""What is happening: admission, the table of open runs, executions, receipts, boot repair."""
