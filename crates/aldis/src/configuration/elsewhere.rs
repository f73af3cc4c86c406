//! Names that people bring along: keys of `mosquitto.conf`, and words that other programs use.
//!
//! Nothing here is accepted. A row only says which setting was meant, or plainly that there is none,
//! where the spelling (`setting::nearest`) would not find it.

/// What to say about a name that is not a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hint {
    /// The setting that was meant, if there is one.
    pub setting: Option<&'static str>,
    /// What else there is to say: a whole sentence, or nothing.
    pub words: &'static str,
}

/// Names, without their group, in lower case with underscores; one that ends in `_` stands for all
/// that begin so.
type Row = (&'static [&'static str], Hint);

const fn meant(setting: &'static str) -> Hint {
    Hint { setting: Some(setting), words: "" }
}

const fn meant_as(setting: &'static str, words: &'static str) -> Hint {
    Hint { setting: Some(setting), words }
}

const fn none(words: &'static str) -> Hint {
    Hint { setting: None, words }
}

const URLS: &str =
    "It takes URLs: listen = [\"tcp://127.0.0.1:1883\"]; the option -p PORT changes the port alone";

static ROWS: &[Row] = &[
    (&["port", "ports", "listener", "bind", "bind_address", "bind_interface"], meant_as("listen", URLS)),
    (
        &["host", "address", "addr", "socket_domain", "listen_address", "listen_port"],
        meant_as("listen", URLS),
    ),
    (&["max_connections", "max_clients", "connections_max"], meant("limits.connections")),
    (&["max_packet_size", "message_size_limit", "max_message_size"], meant("limits.packet_size")),
    (&["max_inflight_messages", "max_inflight", "inflight"], meant("limits.in_flight")),
    (&["max_queued_messages", "max_mqueue_len", "queue_length"], meant("limits.queue_messages")),
    (&["max_queued_bytes", "queue_size"], meant("limits.queue_bytes")),
    (&["queue_qos0_messages"], meant("limits.queue_qos0")),
    (&["max_keepalive", "max_keep_alive", "keepalive", "keep_alive"], meant("limits.keep_alive_max")),
    (&["max_topic_alias"], meant("limits.topic_alias_maximum")),
    (&["max_topic_alias_broker"], meant("limits.topic_aliases_out")),
    (&["memory_limit", "max_memory"], meant("limits.memory_watermark")),
    (
        &["persistent_client_expiration", "session_expiry", "session_expiry_interval"],
        meant_as(
            "limits.session_expiry_max",
            "MQTT 3.1.1 sessions have limits.session_expiry_default beside it",
        ),
    ),
    (&["persistence_location", "data", "datadir"], meant("data_dir")),
    (
        &["persistence", "persistence_file", "persistent", "storage", "fsync", "sync"],
        meant_as("durability", "It takes \"fsync\", \"interval\" or \"memory\""),
    ),
    (
        &["autosave_", "fsync_interval", "sync_interval"],
        meant_as("durability_interval", "It is for durability = \"interval\""),
    ),
    (
        &["level", "log_level", "loglevel", "verbose", "log_verbose", "log_type", "debug"],
        meant_as("log.verbosity", "It takes 0, 1 or 2"),
    ),
    (
        &["log_dest", "log_file", "logfile", "log_timestamp", "log_timestamp_format", "connection_messages"],
        none(
            "the log goes to standard error, which a service manager keeps; \"log.verbosity\" is how much it says",
        ),
    ),
    (&["passwords", "password", "passwd", "passwd_file", "users", "users_file"], meant("auth.password_file")),
    (&["anonymous"], meant("auth.allow_anonymous")),
    (&["prometheus", "metrics_port", "metrics_address", "exporter"], meant("metrics")),
    (&["sys", "sys_topics"], meant("sys_interval")),
    (&["shutdown_timeout", "grace_period"], meant("shutdown_deadline")),
    (
        &["acl", "acl_file", "acls"],
        none("ACL files are not there yet: whoever may connect may publish and subscribe to every topic"),
    ),
    (
        &[
            "tls",
            "ssl",
            "cafile",
            "capath",
            "certfile",
            "keyfile",
            "crlfile",
            "require_certificate",
            "ciphers",
            "ciphers_",
            "use_identity_as_username",
            "use_subject_as_username",
            "dhparamfile",
            "tls_",
            "psk_",
        ],
        none("TLS is not there yet; until then let a proxy such as stunnel, HAProxy or nginx speak it"),
    ),
    (
        &["protocol", "websocket", "websockets", "ws", "http_dir", "websockets_"],
        none("WebSocket is not there yet: every listener speaks MQTT over TCP"),
    ),
    (
        &[
            "bridge",
            "bridges",
            "bridge_",
            "connection",
            "addresses",
            "topic",
            "remote_",
            "local_",
            "cleansession",
            "clientid",
            "start_type",
            "notifications",
            "notification_topic",
            "notifications_local_only",
            "try_private",
            "restart_timeout",
            "round_robin",
            "idle_timeout",
        ],
        none("bridges are not there yet"),
    ),
    (
        &[
            "mount_point",
            "max_inflight_bytes",
            "plugin",
            "auth_plugin",
            "plugin_",
            "auth_opt_",
            "auth_plugin_",
        ],
        none("it is not there yet"),
    ),
    (
        &["clientid_prefixes", "auto_id_prefix", "allow_zero_length_clientid", "upgrade_outgoing_qos"],
        none("it is not there yet"),
    ),
    (&["max_qos"], none("it is not a setting here: every QoS is served")),
    (&["retain_available"], none("it is not a setting here: retained messages are always served")),
    (&["set_tcp_nodelay", "tcp_nodelay"], none("it is not a setting here: TCP_NODELAY is always set")),
    (&["per_listener_settings"], none("it is not a setting here: every listener has the same rules")),
    (
        &["include_dir", "include", "config", "config_file", "conf"],
        none("a configuration file is named with -c FILE, and there is one file"),
    ),
    (&["user", "group", "run_as"], none("aldis runs as the user who starts it (systemd: User=)")),
    (
        &["pid_file", "pidfile", "daemon"],
        none("a service manager knows the process, and aldis stays in front"),
    ),
];

/// What is known about a name from elsewhere, whatever its group.
pub(crate) fn hint(name: &str) -> Option<Hint> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let last = name.rsplit('.').next().unwrap_or(&name);
    let flat = name.replace('.', "_");
    let is_meant = |row: &&str| match row.strip_suffix('_') {
        Some(_) => last.starts_with(row) || flat.starts_with(row),
        None => *row == last || *row == flat,
    };
    ROWS.iter().find(|(names, _)| names.iter().any(&is_meant)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::super::setting;
    use super::*;

    #[test]
    fn every_row_names_a_setting_that_exists_and_none_hides_one() {
        for (names, hint) in ROWS {
            assert!(hint.setting.is_none_or(|name| setting::find(name).is_some()), "{hint:?}");
            assert!(hint.setting.is_some() || !hint.words.is_empty(), "{names:?}");
            for name in *names {
                assert!(setting::find(name).is_none(), "{name}");
                assert_eq!(super::hint(name), Some(*hint), "{name} stands in two rows");
            }
        }
    }

    #[test]
    fn unknown_words_have_no_hint() {
        for name in ["colour", "limits.colour", "portal", "", "_"] {
            assert_eq!(hint(name), None, "{name}");
        }
    }
}
