//! The password file: any bytes give users, or one sentence about a line that shows neither hash nor password.

use crate::choices::Choices;
use aldis_server::{PasswordFile, PasswordFileError};
use std::path::Path;

/// Named in errors.
const FILE: &str = "users";

/// Secrets that lines are made of; no error may show one of them.
const SECRETS: [&str; 8] =
    ["S3cret", "c2FsdFNhbHQ=", "AAAAsecretAAAA", "pa$$word", "a b:c", "$7$x", "$argon2Secret", "äöüß"];

/// The hash of `p` with the salt of twelve zero bytes, one iteration; never checked here.
const HASH: &str = "$7$1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";

/// As [`PasswordFile::parse`].
pub type Parse = fn(&[u8], &Path) -> Result<PasswordFile, PasswordFileError>;

/// The target: [`check`] of Aldis' own reading.
pub fn passwords(data: &[u8]) {
    check(data, PasswordFile::parse);
}

/// Reads the file in `data`. `parse` is the reading to be judged.
///
/// # Panics
/// A user is lost, or an error is no help or shows too much.
pub fn check(data: &[u8], parse: Parse) {
    let mut choices = Choices::new(data);
    let contents = contents(&mut choices);
    let lines: Vec<&[u8]> = contents.split(|byte| *byte == b'\n').collect();
    match parse(&contents, Path::new(FILE)) {
        Ok(file) => {
            let users = lines.iter().filter(|line| !is_remark(line)).count();
            assert_eq!(file.len(), users, "one user for each line that is no remark");
            assert_eq!(format!("{file:?}"), format!("PasswordFile({users} users)"));
        }
        Err(PasswordFileError::BadLine { file, line, what }) => {
            assert!((1..=lines.len()).contains(&line));
            let message = PasswordFileError::BadLine { file, line, what }.to_string();
            assert!(message.starts_with(&format!("password file {FILE} line {line}: ")), "{message:?}");
            assert!(!message.chars().any(char::is_control), "an error is one line of text: {message:?}");
            let says = ["; ", "with: ", "convert", "remove"];
            assert!(says.iter().any(|words| message.contains(words)), "and now? {message:?}");
            check_secrets(lines[line - 1], &message);
        }
        Err(other) => panic!("bytes at hand are unreadable: {other}"),
    }
}

/// A blank line or a comment, or one without a colon that Mosquitto skips as we do.
fn is_remark(line: &[u8]) -> bool {
    let trimmed = line.trim_ascii();
    line.starts_with(b"#") || trimmed.is_empty() || (trimmed.starts_with(b"#") && !trimmed.contains(&b':'))
}

/// A secret behind the colon is not in the message, unless the user's name says the same.
fn check_secrets(line: &[u8], message: &str) {
    let line = String::from_utf8_lossy(line);
    let Some((user, password)) = line.split_once(':') else { return };
    // Shorter ones may be words of the message.
    for secret in SECRETS.iter().map(|secret| secret.trim_matches('$')).filter(|secret| secret.len() >= 6) {
        let is_shown = password.contains(secret) && message.contains(secret);
        assert!(!is_shown || user.contains(secret), "{message:?} shows {secret:?}");
    }
}

/// Bytes as they are, or lines made of users, hashes and secrets.
fn contents(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.below(2) == 0 {
        return choices.all().to_vec();
    }
    let mut text = String::new();
    while !choices.is_empty() {
        let user = choices.pick(&["alice", "bob", "", " eve ", "ä", "#x", "a\tb", "carol"]);
        let secret = choices.pick(&SECRETS);
        match choices.below(12) {
            0..5 => text.push_str(&format!("{user}:{HASH}")),
            5 => text.push_str(&format!("{user}:$6${secret}${secret}")),
            6 => text.push_str(&format!("{user}:$7$101${secret}${secret}")),
            7 => text.push_str(&format!("{user}:$7${secret}$AAAA$AAAA")),
            8 => text.push_str(&format!("{user}:${secret}")),
            9 => text.push_str(&format!("{user}:{secret}")),
            10 => text.push_str(&format!(" # {user}")),
            _ => text.push_str(secret),
        }
        text.push_str(choices.pick(&["\n", "\n", "\r\n", "\n\n"]));
    }
    text.into_bytes()
}
