//! Starts the brokers that the table compares, each with all the doors it can offer.

use super::RESULTS;
use crate::process::{Background, DATA, free_ports, run_for_last_line, tail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a broker may take to listen; it takes milliseconds, a loaded machine more.
const START: Duration = Duration::from_secs(15);
/// How long it may take to say goodbye to its clients.
pub(super) const STOP: Duration = Duration::from_secs(30);

/// The user `conformance` with the password `conformance`: PBKDF2 as `mosquitto_passwd` writes it.
const USERS: &str = "conformance:$7$101$Y29uZm9ybWFuY2Ux$kS/IY0/How+5OlF1RXhaCzMf5xaQrYexVla3VemTyQSmemG8jwbMgvP+zzfTgPMP6GDuCexkJOCNOx8TJ81GSg==";

/// A topic that may not be published to, as Mosquitto's file of rights has it.
const DENIED: &str = "conformance/denied";
const RIGHTS: &str = "topic readwrite #\ntopic readwrite $share/#\ntopic deny conformance/denied";

const FETCH: &str = "tests/clients/fetch-mosquitto.sh";

/// Ports of 127.0.0.1, by what they are for.
pub(super) struct Doors {
    pub(super) plain: u16,
    pub(super) login: Option<u16>,
    pub(super) limited: Option<u16>,
    pub(super) websocket: Option<u16>,
    /// With the topic that may not be published to.
    pub(super) rights: Option<(u16, &'static str)>,
}

/// The release binary three times: one that lets anybody in, one that asks for passwords, one that overrules
/// the keep alive of its clients and takes no topic aliases.
pub(super) fn aldis(root: &Path) -> Result<(Vec<Background>, Doors), String> {
    let [plain, login, limited] = free_ports()?;
    let start = |port: u16, more: &str, log: &str| {
        let line = format!("target/release/aldis --listen tcp://{} --data-dir {DATA} {more}", at(port));
        started(root, line.trim_end(), log, port)
    };
    let passwords =
        format!("--set auth.allow_anonymous=false --set auth.password_file='{}'", users(root)?.display());
    let brokers = vec![
        start(plain, "", "aldis.log")?,
        start(login, &passwords, "aldis-login.log")?,
        start(
            limited,
            "--set 'limits.keep_alive_max=2 s' --set limits.topic_alias_maximum=0",
            "aldis-limited.log",
        )?,
    ];
    Ok((brokers, Doors { plain, login: Some(login), limited: Some(limited), websocket: None, rights: None }))
}

/// Debian's Mosquitto with a listener for each door, and its version.
pub(super) fn mosquitto(root: &Path) -> Result<(Background, Doors, String), String> {
    let program = run_for_last_line(Command::new("sh").arg(FETCH).current_dir(root))?;
    let [plain, login, rights, limited, websocket] = free_ports()?;
    let users = users(root)?;
    let acl = kept(root, "rights", RIGHTS)?;
    let listener = |port: u16, more: &str| format!("listener {port} 127.0.0.1\n{more}\n");
    let configuration = [
        "per_listener_settings true\nmax_queued_messages 0\nset_tcp_nodelay true\n".to_owned(),
        listener(plain, "allow_anonymous true"),
        listener(rights, &format!("allow_anonymous true\nacl_file {}", acl.display())),
        listener(login, &format!("allow_anonymous false\npassword_file {}", users.display())),
        listener(limited, "allow_anonymous true\nmax_qos 1"),
        listener(websocket, "allow_anonymous true\nprotocol websockets"),
    ]
    .concat();
    let file = folder(root)?.join("mosquitto.conf");
    std::fs::write(&file, configuration).map_err(|error| format!("{}: {error}", file.display()))?;
    let broker = started(root, &format!("'{program}' -c '{}'", file.display()), "mosquitto.log", websocket)?;
    let doors = Doors {
        plain,
        login: Some(login),
        limited: Some(limited),
        websocket: Some(websocket),
        rights: Some((rights, DENIED)),
    };
    Ok((broker, doors, version(&program)))
}

/// What `mosquitto -h` says first: `mosquitto version 2.0.11`.
fn version(program: &str) -> String {
    let said = Command::new(program).arg("-h").output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.split_whitespace().nth(2).unwrap_or("of an unknown version").to_owned()
}

fn started(root: &Path, command_line: &str, log: &str, port: u16) -> Result<Background, String> {
    let log = folder(root)?.join(log);
    println!("{command_line}");
    let mut broker = Background::start(command_line, root, &log)?;
    broker
        .wait_for_port(port, START)
        .map_err(|why| format!("`{command_line}`: {why}; it wrote:\n{}", tail(&log)))?;
    Ok(broker)
}

fn users(root: &Path) -> Result<PathBuf, String> {
    kept(root, "users", USERS)
}

fn kept(root: &Path, name: &str, text: &str) -> Result<PathBuf, String> {
    let file = folder(root)?.join(name);
    std::fs::write(&file, format!("{text}\n")).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

fn folder(root: &Path) -> Result<PathBuf, String> {
    let folder = root.join(RESULTS);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// An address of this machine.
pub(super) fn at(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
