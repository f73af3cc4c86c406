"""The third self-test: a broker that does one thing wrong, and every scenario must notice.

Between clients and broker stands a proxy that damages a single PUBLISH. What cannot show in a scenario is in the
table NOT_SHOWN with the reason; everything else must make the scenario fail, and not break it.
"""

import concurrent.futures
import secrets

from mutating_proxy import LOST, MUTATIONS, NOTHING, SWAPPED, Proxy

AT_ONCE = 8
# Seconds that a scenario waits for a message that never comes; and for all the others while many run at once.
DEADLINE = 5.0
# Where a connection is cut, what is on its way differs from run to run: there may be no message for the mutation.
ATTEMPTS = 3

_STEPS = "each message is awaited before the next one is published"
_ONE_EACH = "no two messages are on the same topic"
_ONLY_2 = "every message is delivered at QoS 2, or 0"
# (mutation, title) or (mutation, client, title) → why it cannot show there.
NOT_SHOWN = {
    (SWAPPED, "large"): _ONE_EACH,
    (SWAPPED, "retained"): _STEPS,
    (SWAPPED, "retained-100k"): _ONE_EACH,
    (SWAPPED, "request-response"): _STEPS,
    (SWAPPED, "will"): _ONE_EACH,
    (SWAPPED, "will-delay"): _ONE_EACH,
    (SWAPPED, "unsubscribe"): _STEPS,
    (SWAPPED, "mqttjs", "topic-alias"): "neighbours are on different topics",
    (SWAPPED, "mosquitto", "properties"): _STEPS,
    (SWAPPED, "mosquitto", "subscribe-options"): _STEPS,
    (LOST, "retained-100k"): "the last of all may be another reader's last message, which is left out",
    ("qos 1 doubled", "exactly-once"): _ONLY_2,
    ("qos 1 doubled", "paho", "overlap"): _ONLY_2,
    ("qos 1 doubled", "mqttjs", "overlap"): _ONLY_2,
    ("qos 1 doubled", "rumqttc", "overlap"): _ONLY_2,
}


def reason_not_shown(scenario, mutation):
    """Why `mutation` cannot show in `scenario`, or None: then it must."""
    if mutation == "property added" and scenario.version != "5":
        return "only MQTT 5 has properties"
    by_client = NOT_SHOWN.get((mutation, scenario.client, scenario.title))
    return by_client or NOT_SHOWN.get((mutation, scenario.title))


def chosen_runs(scenarios, all_of_them):
    """Pairs of scenario and mutation: all that must show, or one for each scenario, in turn."""
    runs = []
    for index, scenario in enumerate(scenarios):
        shown = [one for one in MUTATIONS if reason_not_shown(scenario, one) is None]
        runs += [(scenario, one) for one in (shown if all_of_them else [shown[index % len(shown)]])]
    return runs


def run_mutations(scenarios, options, run_scenario, all_of_them):
    """Runs them and prints a line for each; the numbers of those that passed and failed."""

    def through_proxy(scenario, mutation, deadline, target=None):
        prefix = f"t{secrets.token_hex(4)}"
        with Proxy(options.host, options.port, prefix, mutation, target) as proxy:
            changes = {"HOST": "127.0.0.1", "PORT": proxy.port, "PREFIX": prefix, "SMALL": 1}
            outcome = run_scenario(scenario, options, changes | {"DEADLINE": deadline})
        return proxy, outcome

    def attempt(scenario, mutation):
        """Proxy and outcome of one run with the mutation; a complaint if it already fails without."""
        target = None
        if mutation == LOST:
            proxy, outcome = through_proxy(scenario, NOTHING, options.deadline)
            if outcome.reason:
                return proxy, outcome, f"fails behind a proxy that changes nothing: {outcome.reason}"
            target = proxy.last
        return *through_proxy(scenario, mutation, DEADLINE, target), None

    def complaint(run):
        for _ in range(ATTEMPTS):
            proxy, outcome, why = attempt(*run)
            if why:
                return why
            if proxy.applied:
                break
        else:
            return f"had no message for it ({outcome.reason or 'and passes'})"
        if not outcome.reason:
            return "passes all the same"
        if outcome.crashed:
            return f"breaks instead of failing: {outcome.reason}"
        return None

    runs = chosen_runs(scenarios, all_of_them)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for (scenario, mutation), why in zip(runs, pool.map(complaint, runs)):
            if why:
                failed += 1
                print(f"FAILED {scenario.name} with {mutation}: {why}", flush=True)
            else:
                print(f"ok {scenario.name} fails with {mutation}", flush=True)
    return len(runs) - failed, failed
