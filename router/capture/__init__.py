"""What steps said, where a policy has it captured; and running it again."""
