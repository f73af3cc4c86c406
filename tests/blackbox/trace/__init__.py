"""What `sync_order.py` consists of.

- `system_calls`: the lines of strace as calls, each with its beginning and its end.
- `order`: which packets left before the sync that covers them.
"""
