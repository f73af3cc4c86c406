"""What the scripts of this folder share: MQTT on the wire, a broker process, and their main().

- `packets`: builds packets (also wrong ones) as bytes and takes received ones apart.
- `connection`: one TCP connection on which every wait has a deadline.
- `broker`: a broker process: its log, its memory, its metrics, its end.
- `script`: runs the cases of a script and reports them.

Only the standard library of Python 3.11, so that nothing of the test is shared with the broker.
"""
