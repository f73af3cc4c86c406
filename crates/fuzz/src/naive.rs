//! Section 4.7 once more, as the standard words it and as slowly as it likes: the measure for the matcher,
//! the trie and the tree.
//!
//! Knows nothing of the crates it measures.

/// The most that a string of MQTT can carry, in bytes.
const LONGEST: usize = 65_535;

/// Everything that is wrong with a topic name, by clause; empty for a good one.
#[must_use]
pub fn wrong_with_name(name: &str) -> Vec<&'static str> {
    let mut wrong = wrong_with_text(name);
    if name.contains('+') || name.contains('#') {
        wrong.push("MQTT-4.7.1-1");
    }
    wrong
}

/// Everything that is wrong with a topic filter, by clause; empty for a good one.
#[must_use]
pub fn wrong_with_filter(filter: &str) -> Vec<&'static str> {
    let mut wrong = wrong_with_text(filter);
    let mut levels: Vec<&str> = filter.split('/').collect();
    if levels.len() > 1 && levels[0] == "$share" {
        let group = levels[1];
        if group.is_empty() {
            wrong.push("MQTT-4.8.2-1");
        }
        // A filter of one empty level is no filter: it has no character.
        if group.contains(['+', '#']) || levels.len() == 2 || (levels.len() == 3 && levels[2].is_empty()) {
            wrong.push("MQTT-4.8.2-2");
        }
        levels.drain(..2);
    }
    for (at, level) in levels.iter().enumerate() {
        let is_last = at + 1 == levels.len();
        if level.contains('#') && !(*level == "#" && is_last) {
            wrong.push("MQTT-4.7.1-2");
        }
        if level.contains('+') && *level != "+" {
            wrong.push("MQTT-4.7.1-3");
        }
    }
    wrong
}

fn wrong_with_text(text: &str) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    if text.is_empty() {
        wrong.push("MQTT-4.7.3-1");
    }
    if text.contains('\0') {
        wrong.push("MQTT-4.7.3-2");
    }
    if text.len() > LONGEST {
        wrong.push("MQTT-4.7.3-3");
    }
    wrong
}

/// Whether a good filter, without `$share/group/`, matches a good topic name.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    if topic[0].starts_with('$') && (filter[0] == "+" || filter[0] == "#") {
        return false;
    }
    let mut level = 0;
    loop {
        match (filter.get(level), topic.get(level)) {
            (Some(&"#"), _) | (None, None) => return true,
            (Some(&"+"), Some(_)) => {}
            (Some(wanted), Some(name)) if wanted == name => {}
            _ => return false,
        }
        level += 1;
    }
}
