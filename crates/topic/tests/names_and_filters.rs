//! Topic names and filters, rule by rule: what is valid, and what matches what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_topic::{MAX_TOPIC_BYTES, TopicFilter, check_topic_name, is_dollar, matches};

const LEVELS: usize = 128;

fn name_error(topic: &str) -> Option<&'static str> {
    check_topic_name(topic, LEVELS).err().map(|error| error.clause)
}

fn filter_error(filter: &str) -> Option<&'static str> {
    TopicFilter::parse(filter, LEVELS).err().map(|error| error.clause)
}

/// A filter, the topics it matches, the topics it does not.
fn assert_matching(table: &[(&str, &[&str], &[&str])]) {
    for (filter, yes, no) in table {
        let parsed = TopicFilter::parse(filter, LEVELS).unwrap();
        for topic in *yes {
            assert!(matches(filter, topic) && parsed.matches(topic), "{filter:?} matches {topic:?}");
        }
        for topic in *no {
            assert!(!matches(filter, topic) && !parsed.matches(topic), "{filter:?} does not match {topic:?}");
        }
    }
}

/// [MQTT-4.7.1-1] Wildcards appear in filters only; [MQTT-3.3.2-2] for PUBLISH.
#[test]
fn mqtt_4_7_1_1_a_topic_name_has_no_wildcard() {
    for topic in ["#", "+", "a/#", "a/+/b", "a+", "a#b", "/+", "$SYS/#"] {
        assert_eq!(name_error(topic), Some("MQTT-4.7.1-1"), "{topic:?}");
    }
    for topic in ["a", "/", "//", "/a", "a/", "a//b", " ", "a b/c", "$SYS/x", "$share/g/a", "\u{feff}", "*"] {
        assert_eq!(name_error(topic), None, "{topic:?}");
    }
}

/// [MQTT-4.7.1-2] `#` stands alone or after a separator, and last.
#[test]
fn mqtt_4_7_1_2_the_multi_level_wildcard_fills_the_last_level() {
    for filter in ["#", "/#", "a/#", "a/b/#", "//#", "+/#", "$SYS/#", "sport/tennis/player1/#"] {
        assert_eq!(filter_error(filter), None, "{filter:?}");
    }
    for filter in
        ["a#", "#a", "a/b#", "#/a", "a/#/b", "##", "#/#", "a/##", "#/", "sport/tennis#", "a/+#", "+#"]
    {
        assert_eq!(filter_error(filter), Some("MQTT-4.7.1-2"), "{filter:?}");
    }
}

/// [MQTT-4.7.1-3] `+` stands at any level, and fills it.
#[test]
fn mqtt_4_7_1_3_the_single_level_wildcard_fills_its_level() {
    for filter in ["+", "/+", "+/", "+/+", "+/tennis/#", "sport/+/player1", "a/+/+/b", "$SYS/+"] {
        assert_eq!(filter_error(filter), None, "{filter:?}");
    }
    for filter in ["sport+", "+a", "a/b+", "a/+b/c", "++", "a/++", "a+/b"] {
        assert_eq!(filter_error(filter), Some("MQTT-4.7.1-3"), "{filter:?}");
    }
}

/// Sections 4.7.1.2 and 4.7.1.3, examples and corners.
#[test]
fn section_4_7_1_wildcards_match_levels() {
    assert_matching(&[
        (
            "sport/tennis/player1/#",
            &[
                "sport/tennis/player1",
                "sport/tennis/player1/",
                "sport/tennis/player1/ranking",
                "sport/tennis/player1/score/wimbledon",
            ],
            &["sport/tennis", "sport/tennis/player2", "sport/tennis/player10", "Sport/tennis/player1", ""],
        ),
        ("sport/#", &["sport", "sport/", "sport/a/b"], &["sports", "/sport"]),
        ("#", &["a", "/", "/a", "a/", "a/b/c", " "], &["$SYS", "$", "$SYS/a"]),
        ("/#", &["/", "/a", "//", "/a/b", "/$SYS"], &["a", "a/", "a/b"]),
        ("+", &["a", " ", "sport"], &["/", "/a", "a/", "a/b", "$a"]),
        ("/+", &["/finance", "/", "/$SYS"], &["finance", "//", "/a/b"]),
        ("+/+", &["/finance", "/", "a/b", "a/"], &["a", "a/b/c", "$SYS/a"]),
        ("sport/+", &["sport/", "sport/a"], &["sport", "sport/a/", "sport/a/b"]),
        ("sport/tennis/+", &["sport/tennis/player1"], &["sport/tennis", "sport/tennis/player1/ranking"]),
        ("+/tennis/#", &["sport/tennis", "/tennis/a", "x/tennis/a/b"], &["tennis", "sport/golf"]),
        ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b/d"]),
        ("+/#", &["a", "/", "a/b"], &["$a", "$a/b"]),
        ("a/+/#", &["a/b", "a/", "a/b/c"], &["a", "b/b"]),
        ("a", &["a"], &["/a", "a/", "A", "aa", "a/b"]),
        ("a//b", &["a//b"], &["a/b", "a///b"]),
        ("/", &["/"], &["//", "a", ""]),
    ]);
}

/// [MQTT-4.7.2-1] A leading wildcard does not match a leading `$`.
#[test]
fn mqtt_4_7_2_1_leading_wildcards_do_not_reach_dollar_topics() {
    assert!(is_dollar("$SYS/a") && is_dollar("$") && !is_dollar("a/$") && !is_dollar("/$SYS"));
    assert_matching(&[
        ("#", &["SYS"], &["$SYS", "$SYS/monitor/Clients"]),
        ("+/monitor/Clients", &["SYS/monitor/Clients"], &["$SYS/monitor/Clients"]),
        ("+", &[], &["$SYS"]),
        ("$SYS/#", &["$SYS", "$SYS/", "$SYS/monitor/Clients"], &["$sys/a", "SYS/a"]),
        ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]),
        ("$SYS/+/$x", &["$SYS/a/$x"], &[]),
        ("a/+", &["a/$SYS"], &[]),
    ]);
    assert!(!TopicFilter::parse("$share/g/#", LEVELS).unwrap().matches("$SYS/a"));
    assert!(TopicFilter::parse("$share/g/$SYS/#", LEVELS).unwrap().matches("$SYS/a"));
}

/// [MQTT-4.7.3-1] At least one character; [MQTT-4.7.3-2] no U+0000; [MQTT-4.7.3-3] at most 65,535 bytes.
#[test]
fn mqtt_4_7_3_1_to_3_length_and_null() {
    let longest = "é".repeat(MAX_TOPIC_BYTES / 2) + "x";
    let too_long = longest.clone() + "x";
    for (text, clause) in [
        ("", Some("MQTT-4.7.3-1")),
        ("\0", Some("MQTT-4.7.3-2")),
        ("a/b\0", Some("MQTT-4.7.3-2")),
        (longest.as_str(), None),
        (too_long.as_str(), Some("MQTT-4.7.3-3")),
    ] {
        assert_eq!(name_error(text), clause);
        assert_eq!(filter_error(text), clause);
    }
    assert_eq!(filter_error("$share/g/\0"), Some("MQTT-4.7.3-2"));
}

/// [MQTT-4.7.3-4] Nothing is normalised.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    assert_matching(&[
        ("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "accounts"]),
        ("Accounts payable", &["Accounts payable"], &["Accountspayable", "Accounts  payable"]),
        ("é", &["é"], &["e\u{301}", "É"]),
        ("\u{feff}a", &["\u{feff}a"], &["a"]),
        ("a/\u{feff}", &["a/\u{feff}"], &["a/"]),
        ("a /b", &["a /b"], &["a/b"]),
        ("+/温度", &["家/温度", "\u{10ffff}/温度"], &["家/湿度"]),
        ("./..", &["./.."], &["..", ".", "/"]),
    ]);
}

/// [MQTT-4.8.2-1] a share name of at least one character; [MQTT-4.8.2-2] without `/`, `+`, `#`, and
/// followed by `/` and a filter.
#[test]
fn mqtt_4_8_2_1_and_2_shared_subscriptions() {
    for (text, group, filter) in [
        ("$share/g/a", Some("g"), "a"),
        ("$share/g//a", Some("g"), "/a"),
        ("$share/g//", Some("g"), "/"),
        ("$share/é g/sport/+/#", Some("é g"), "sport/+/#"),
        ("$share/$g/$SYS/#", Some("$g"), "$SYS/#"),
        ("$share/a/$share/b/c", Some("a"), "$share/b/c"),
        ("$share", None, "$share"),
        ("$SHARE/g/a", None, "$SHARE/g/a"),
        ("$shared/g", None, "$shared/g"),
        ("/$share/g/a", None, "/$share/g/a"),
        ("a/b", None, "a/b"),
    ] {
        let parsed = TopicFilter::parse(text, LEVELS).unwrap();
        assert_eq!((parsed.as_str(), parsed.share_group(), parsed.filter()), (text, group, filter));
        assert_eq!(parsed.to_string(), text);
        assert_eq!(parsed.has_wildcard(), filter.contains(['+', '#']), "{text:?}");
    }
    for (text, clause) in [
        ("$share/", "MQTT-4.8.2-1"),
        ("$share//", "MQTT-4.8.2-1"),
        ("$share//a", "MQTT-4.8.2-1"),
        ("$share/g", "MQTT-4.8.2-2"),
        ("$share/g/", "MQTT-4.8.2-2"),
        ("$share/+", "MQTT-4.8.2-2"),
        ("$share/#", "MQTT-4.8.2-2"),
        ("$share/+/a", "MQTT-4.8.2-2"),
        ("$share/#/a", "MQTT-4.8.2-2"),
        ("$share/g+/a", "MQTT-4.8.2-2"),
        ("$share/g#/a", "MQTT-4.8.2-2"),
        ("$share/g/a#", "MQTT-4.7.1-2"),
        ("$share/g/#/a", "MQTT-4.7.1-2"),
        ("$share/g/a+", "MQTT-4.7.1-3"),
    ] {
        assert_eq!(filter_error(text), Some(clause), "{text:?}");
    }
}

#[test]
fn the_limit_on_levels_counts_the_matched_part_only() {
    for (text, levels) in [("a", 1), ("/", 2), ("a/b/c", 3), ("//", 3), ("$SYS/a", 2)] {
        assert!(check_topic_name(text, levels).is_ok());
        let error = check_topic_name(text, levels - 1).unwrap_err();
        assert!(error.is_limit(), "{error}");
        assert!(TopicFilter::parse(text, levels).is_ok());
        assert!(TopicFilter::parse(text, levels - 1).unwrap_err().is_limit());
    }
    assert!(TopicFilter::parse("$share/g/a/b/#", 3).is_ok());
    assert!(TopicFilter::parse("$share/g/a/b/#", 2).unwrap_err().is_limit());
    assert!(!check_topic_name("#", 1).unwrap_err().is_limit());
}

#[test]
fn errors_say_what_and_which_rule() {
    let error = TopicFilter::parse("a/#/b", LEVELS).unwrap_err();
    assert_eq!(error.to_string(), "# is not alone in the last level [MQTT-4.7.1-2]");
}

/// What `parse` would refuse never matches by a wildcard, and never panics.
#[test]
fn wildcards_in_invalid_filters_stand_for_themselves() {
    for (filter, topic) in
        [("a#", "a"), ("a#", "a/b"), ("#/a", "b/a"), ("a/#/b", "a/x/b"), ("a+", "ab"), ("", "a")]
    {
        assert!(!matches(filter, topic), "{filter:?} {topic:?}");
    }
}

#[test]
fn filters_are_equal_and_ordered_by_their_text() {
    let parse = |text| TopicFilter::parse(text, LEVELS).unwrap();
    assert_eq!(parse("a/+"), parse("a/+").clone());
    assert_ne!(parse("$share/g/a"), parse("a"));
    assert!(parse("a") < parse("b") && parse("a") < parse("a/b"));
}
