"""What a federation is compared with: each hospital alone, all records pooled, all but one."""
