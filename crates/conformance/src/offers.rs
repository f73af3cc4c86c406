//! What a broker may leave out, and the file that declares what it does leave out.
//!
//! A test that needs a feature asks [`crate::Stage`] for it. A declared feature that answers on the wire is an
//! error: the declaration is out of date, and its tests were not run.

use std::collections::BTreeMap;

/// Something that a broker need not offer, or that this run was given no door to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// MQTT over WebSocket: a listener at `--websocket-addr`.
    WebSocket,
    /// AUTH with SCRAM-SHA-256, for the user of `--user` and `--password`.
    EnhancedAuthentication,
    /// A topic that a client may not publish to.
    Rights,
    /// A listener at `--login-addr` that lets in only the user of `--user` and `--password`.
    Login,
    /// A listener at `--limited-addr` that announces a Maximum QoS below 2.
    MaximumQos,
    /// A listener at `--limited-addr` that announces Retain Available 0.
    NoRetain,
    /// A listener at `--limited-addr` that announces a Server Keep Alive.
    ServerKeepAlive,
    /// Topic aliases from a client: a Topic Alias Maximum above 0 in CONNACK.
    TopicAliases,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 8] = [
        Feature::WebSocket,
        Feature::EnhancedAuthentication,
        Feature::Rights,
        Feature::Login,
        Feature::MaximumQos,
        Feature::NoRetain,
        Feature::ServerKeepAlive,
        Feature::TopicAliases,
    ];

    /// Its key in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Feature::WebSocket => "websocket",
            Feature::EnhancedAuthentication => "enhanced_authentication",
            Feature::Rights => "rights",
            Feature::Login => "login",
            Feature::MaximumQos => "maximum_qos",
            Feature::NoRetain => "no_retain",
            Feature::ServerKeepAlive => "server_keep_alive",
            Feature::TopicAliases => "topic_aliases",
        }
    }
}

/// What a broker declares that it does not offer, each with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotOffered(BTreeMap<Feature, String>);

impl NotOffered {
    /// Reads a file such as `aldis-offers.toml`: a table `not_offered` of features and reasons.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut declared = BTreeMap::new();
        for (key, value) in &table {
            let Some(lines) = value.as_table().filter(|_| key == "not_offered") else {
                return Err(format!("`{key}` is not known; there is one table, [not_offered]"));
            };
            for (name, reason) in lines {
                let Some(feature) = Feature::ALL.into_iter().find(|feature| feature.name() == name) else {
                    let names: Vec<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
                    return Err(format!("there is no feature `{name}`; there are {}", names.join(", ")));
                };
                let Some(reason) = reason.as_str().filter(|reason| !reason.trim().is_empty()) else {
                    return Err(format!("`{name}` needs a reason, as text"));
                };
                declared.insert(feature, reason.to_owned());
            }
        }
        Ok(Self(declared))
    }

    /// The reason, if the feature is declared as not offered.
    #[must_use]
    pub fn reason(&self, feature: Feature) -> Option<&str> {
        self.0.get(&feature).map(String::as_str)
    }

    /// All that is declared, with the reasons.
    pub fn iter(&self) -> impl Iterator<Item = (Feature, &str)> {
        self.0.iter().map(|(feature, reason)| (*feature, reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Feature, NotOffered};

    #[test]
    fn a_declaration_needs_a_known_feature_and_a_reason() {
        let good = NotOffered::parse("[not_offered]\nwebsocket = \"later\"\n").unwrap();
        assert_eq!(good.reason(Feature::WebSocket), Some("later"));
        assert_eq!(good.reason(Feature::Login), None);
        for bad in
            ["[offered]\n", "[not_offered]\nwebsockets = \"x\"", "[not_offered]\nlogin = \" \"", "x = 1"]
        {
            assert!(NotOffered::parse(bad).is_err(), "{bad}");
        }
    }
}
