//! Users and password hashes from a file in Mosquitto's format, as `mosquitto_passwd` writes it.
//!
//! A line is `user:$7$iterations$salt$hash` (PBKDF2-HMAC-SHA512, what the tool writes by default) or
//! `user:$6$salt$hash` (SHA-512 of the password followed by the salt; Mosquitto 1.6 and earlier),
//! salt and hash in base64. Lines that begin with `#` and blank lines are skipped, as Mosquitto
//! does; everything else that cannot be read is an error here, where Mosquitto skips the line with
//! or without a warning: a user who silently cannot log in costs more than a start that says why.
//!
//! Hashes are never printed, neither by `Debug` nor in errors. This module starts no thread: see
//! [`PasswordFile::verify`] for where to call it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

/// PBKDF2 iterations above which a line is refused. 10 million are seconds of work for one login;
/// more is a slip of the finger that would look like a broker that hangs.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// Size above which a password file is refused, in bytes. 64 MiB are about 400,000 users.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// Longest salt that is accepted, in bytes. Mosquitto writes 12 (64 since 2.1).
const MAX_SALT_BYTES: usize = 256;

/// What `mosquitto_passwd` uses unless told otherwise; taken where a file has no users.
const MOSQUITTO_ITERATIONS: u32 = 101;

const HASH_BYTES: usize = 64;

/// The users that may connect with a password.
pub struct PasswordFile {
    users: HashMap<Box<str>, StoredPassword>,
    /// What an unknown user's password is compared with, so that the answer takes as long as for a
    /// known one.
    decoy: StoredPassword,
}

impl PasswordFile {
    /// Reads and checks a whole file.
    ///
    /// # Errors
    /// The file cannot be read, is larger than [`MAX_FILE_BYTES`], or has a line that
    /// [`parse`](PasswordFile::parse) refuses.
    pub fn load(path: &Path) -> Result<PasswordFile, PasswordFileError> {
        let unreadable = |error: io::Error| PasswordFileError::Unreadable {
            file: path.to_owned(),
            kind: error.kind(),
            what: error.to_string(),
        };
        let mut contents = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents).map_err(unreadable)?;
        if u64::try_from(contents.len()).is_ok_and(|size| size > MAX_FILE_BYTES) {
            let what = format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20);
            let kind = io::ErrorKind::FileTooLarge;
            return Err(PasswordFileError::Unreadable { file: path.to_owned(), kind, what });
        }
        PasswordFile::parse(&contents, path)
    }

    /// Checks the contents of a file; `path` is only named in errors.
    ///
    /// # Errors
    /// The first line that is not a comment, blank, or a new user with a hash of a known kind.
    pub fn parse(contents: &[u8], path: &Path) -> Result<PasswordFile, PasswordFileError> {
        let mut users = HashMap::new();
        let mut first_lines = HashMap::new();
        for (line, number) in contents.split(|&byte| byte == b'\n').zip(1..) {
            let bad = |what| PasswordFileError::BadLine { file: path.to_owned(), line: number, what };
            let Some((user, password)) = parse_line(line, path).map_err(bad)? else { continue };
            if let Some(first) = first_lines.insert(user.clone(), number) {
                let what = format!("the user {user:?} is already in line {first}; remove one of the two");
                return Err(bad(what));
            }
            users.insert(user, password);
        }
        let decoy = StoredPassword::decoy(most_frequent_scheme(users.values()));
        Ok(PasswordFile { users, decoy })
    }

    /// Whether `user` exists and `password` is the right one.
    ///
    /// Takes as long for an unknown user as for a known one, and compares in constant time. It is
    /// meant to be slow (about 0.1 ms with Mosquitto's 101 iterations, seconds at
    /// [`MAX_ITERATIONS`]), so call it on a bounded pool of blocking threads, never in a task.
    #[must_use]
    pub fn verify(&self, user: &str, password: &[u8]) -> bool {
        let known = self.users.get(user);
        let matches = known.unwrap_or(&self.decoy).matches(password);
        matches && known.is_some()
    }

    /// Number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there are no users, so that no password is ever right.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// The same users with the same hashes: so a reload can say whether a file changed.
impl PartialEq for PasswordFile {
    fn eq(&self, other: &PasswordFile) -> bool {
        self.users == other.users
    }
}

impl Eq for PasswordFile {}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PasswordFile({} users)", self.users.len())
    }
}

/// Why a password file was refused. Its `Display` is one sentence that names the file, the line and
/// the way out, and never a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordFileError {
    /// The file as a whole could not be read.
    Unreadable {
        /// The file as it was named.
        file: PathBuf,
        /// What the system said, to decide what to do about it.
        kind: io::ErrorKind,
        /// What the system said.
        what: String,
    },
    /// One line is not what Mosquitto's format allows.
    BadLine {
        /// The file as it was named.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it, and what would be right.
        what: String,
    },
}

impl fmt::Display for PasswordFileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordFileError::Unreadable { file, kind, what } => {
                let file = file.display();
                write!(out, "cannot read the password file {file}: {what}")?;
                match kind {
                    io::ErrorKind::NotFound => write!(out, "; make it with: mosquitto_passwd -c {file} USER"),
                    io::ErrorKind::IsADirectory => write!(out, "; name a file in it"),
                    io::ErrorKind::PermissionDenied => {
                        write!(out, "; let the user that the broker runs as read it and enter its folder")
                    }
                    _ => Ok(()),
                }
            }
            PasswordFileError::BadLine { file, line, what } => {
                write!(out, "password file {} line {line}: {what}", file.display())
            }
        }
    }
}

impl std::error::Error for PasswordFileError {}

/// How a password becomes a hash, and how much work that is. The order is that of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scheme {
    /// `$6$`
    Sha512,
    /// `$7$`
    Pbkdf2 { iterations: u32 },
}

#[derive(PartialEq, Eq)]
struct StoredPassword {
    scheme: Scheme,
    salt: Box<[u8]>,
    hash: [u8; HASH_BYTES],
}

impl StoredPassword {
    /// No password has this hash as far as anyone knows; if one did, `verify` still says no.
    fn decoy(scheme: Scheme) -> StoredPassword {
        StoredPassword { scheme, salt: Box::from([0x5a; 12]), hash: [0; HASH_BYTES] }
    }

    fn matches(&self, password: &[u8]) -> bool {
        let mut hash = [0; HASH_BYTES];
        match self.scheme {
            Scheme::Sha512 => {
                let digest = Sha512::new().chain_update(password).chain_update(&self.salt);
                hash.copy_from_slice(&digest.finalize());
            }
            Scheme::Pbkdf2 { iterations } => {
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, iterations, &mut hash);
            }
        }
        hash.ct_eq(&self.hash).into()
    }
}

fn most_frequent_scheme<'a>(passwords: impl Iterator<Item = &'a StoredPassword>) -> Scheme {
    let mut counts = BTreeMap::new();
    for password in passwords {
        *counts.entry(password.scheme).or_insert(0_usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|&(scheme, count)| (count, scheme));
    most.map_or(Scheme::Pbkdf2 { iterations: MOSQUITTO_ITERATIONS }, |(scheme, _)| scheme)
}

/// `None` for a comment or a blank line; the error is the rest of a sentence about the line.
fn parse_line(line: &[u8], path: &Path) -> Result<Option<(Box<str>, StoredPassword)>, String> {
    let Ok(line) = str::from_utf8(line) else {
        return Err("it is not UTF-8, as user names in MQTT are; convert the file to UTF-8".to_owned());
    };
    let trimmed = line.trim_ascii();
    if line.starts_with('#') || trimmed.is_empty() {
        return Ok(None);
    }
    let Some((user, password)) = trimmed.split_once(':') else {
        // Mosquitto skips every line without a colon; an indented comment is the one that is meant.
        if trimmed.starts_with('#') {
            return Ok(None);
        }
        return Err(
            "there is no \":\" between user and hash; write user:$7$…, as mosquitto_passwd does".to_owned()
        );
    };
    let user = user.trim_ascii();
    if user.is_empty() {
        return Err("the user name before the \":\" is empty; write user:$7$…".to_owned());
    }
    let password = parse_password(password.trim_ascii(), user, path)?;
    Ok(Some((Box::from(user), password)))
}

fn parse_password(text: &str, user: &str, path: &Path) -> Result<StoredPassword, String> {
    let renew =
        format!("write the line anew with: mosquitto_passwd {} '{}'", path.display(), user.escape_debug());
    if text.is_empty() {
        return Err(format!("user {user:?} has no password hash; {renew}"));
    }
    let mut fields = text.split('$');
    let (before, kind) = (fields.next(), fields.next());
    let scheme = match (before, kind) {
        (Some(""), Some("6")) => Scheme::Sha512,
        (Some(""), Some("7")) => {
            let iterations = fields.next().unwrap_or_default();
            parse_iterations(iterations).map_err(|what| format!("user {user:?}: {what}; {renew}"))?
        }
        // Each by its name: what else begins so could be a password.
        (Some(""), Some(kind @ ("argon2d" | "argon2i" | "argon2id"))) => {
            return Err(format!(
                "user {user:?} has an {kind} hash, which this version does not read; write the line \
                 anew with: mosquitto_passwd -H sha512-pbkdf2 {} '{}'",
                path.display(),
                user.escape_debug()
            ));
        }
        _ => {
            return Err(match foreign_kind(text) {
                Some(kind) => {
                    format!("user {user:?} has a hash of kind {kind}, which is not Mosquitto's; {renew}")
                }
                None => format!(
                    "user {user:?} has a password in plain text; convert the file with: mosquitto_passwd -U {}",
                    path.display()
                ),
            });
        }
    };
    let (Some(salt), Some(hash), None) = (fields.next(), fields.next(), fields.next()) else {
        let shape = if scheme == Scheme::Sha512 { "$6$salt$hash" } else { "$7$iterations$salt$hash" };
        return Err(format!("user {user:?}: the hash is not of the form {shape}; {renew}"));
    };
    let salt = STANDARD.decode(salt).ok().filter(|salt| (1..=MAX_SALT_BYTES).contains(&salt.len()));
    let Some(salt) = salt else {
        return Err(format!("user {user:?}: the salt is not base64 of 1 to {MAX_SALT_BYTES} bytes; {renew}"));
    };
    let hash = STANDARD.decode(hash).ok().and_then(|hash| <[u8; HASH_BYTES]>::try_from(hash).ok());
    let Some(hash) = hash else {
        return Err(format!(
            "user {user:?}: the hash is not base64 of {HASH_BYTES} bytes, so it was cut or changed; {renew}"
        ));
    };
    Ok(StoredPassword { scheme, salt: salt.into_boxed_slice(), hash })
}

/// How a hash of crypt(3) or of a well-known tool begins. A list, and not any text between dollar
/// signs: that could be a password, and errors show no password.
fn foreign_kind(text: &str) -> Option<&'static str> {
    const KINDS: [&str; 13] = [
        "$1$", "$2$", "$2a$", "$2b$", "$2x$", "$2y$", "$5$", "$y$", "$gy$", "$apr1$", "$sha1$", "$pbkdf2",
        "PBKDF2$",
    ];
    KINDS.into_iter().find(|kind| text.starts_with(kind))
}

fn parse_iterations(text: &str) -> Result<Scheme, String> {
    match text.parse::<u32>() {
        Ok(iterations @ 1..=MAX_ITERATIONS) => Ok(Scheme::Pbkdf2 { iterations }),
        _ => Err(format!("the number of iterations is not a whole number from 1 to {MAX_ITERATIONS}")),
    }
}
