"""What `durability.py` and `power_loss.py` consist of: clients that remember, a broker that is killed, and a judge.

- `verdict`: what was lost, duplicated, reordered: pure functions, and the examples that prove them.
- `lives`: the lives of one broker on one data directory, each of which ends with SIGKILL.
- `power`: the same on a file system that loses power.
- `clients`: a publisher and a subscriber whose state outlives connections, by the rules of section 4.4.
- `messages`, `state`, `clocks`, `files`: the scenarios.
"""
