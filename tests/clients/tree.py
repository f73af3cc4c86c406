"""A large tree of retained messages, as the Python scenarios expect to see it.

with_mqttjs/tree.js, which sets it, says the same in JavaScript.
"""

import expect

MARKER = (expect.topic("marker"), b"marker", 1, 1, 0, {})


def name(number):
    return expect.topic(f"tree/{number // 1000}/{number % 1000}")


def value(number):
    return f"value {number}".encode()


def read_exactly(arrivals, reader, count, publish_last):
    """Waits for `count` retained messages and the marker, and compares the complete list.

    `arrivals` is of a subscriber to `#` and holds messages (topic, payload, qos, retain, dup,
    properties); those of other runs are left out. `publish_last(topic)` publishes one more message,
    which shows that nothing else came.
    """
    last = expect.topic(f"{reader}-last")
    progress = {"seen": 0, "ours": 0, "last": 0}

    def enough(messages):
        for got in messages[progress["seen"]:]:
            progress["ours"] += got[0].startswith(f"{expect.PREFIX}/")
            progress["last"] += got[0] == last
        progress["seen"] = len(messages)
        return progress["ours"] > count

    arrivals.wait_until(enough, f"{count} retained messages and a marker", 3 * expect.DEADLINE)
    publish_last(last)
    arrivals.wait_until(lambda messages: enough(messages) and progress["last"], "the last message")
    received = [
        got
        for got in arrivals.take()
        if got[0].startswith(f"{expect.PREFIX}/")
        and (got[0] == last or not got[0].endswith("-last"))
    ]
    expected = [(name(number), value(number), 1, 1, 0, {}) for number in range(count)]
    expected += [MARKER, (last, b"last", 1, 0, 0, {})]
    for messages in (received, expected):
        messages.sort(key=lambda got: got[:2])
    expect.compare(reader, received, expected)
