"""What the audit log costs, and whether it holds what it promises when its writer is killed."""
