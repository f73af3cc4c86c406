//! Password files: lines that the real `mosquitto_passwd` wrote, and every way to get one wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;

use aldis_server::{PasswordFile, PasswordFileError};

const FIXTURE: &str = include_str!("fixtures/mosquitto_passwd.txt");

fn parse(contents: &str) -> Result<PasswordFile, PasswordFileError> {
    PasswordFile::parse(contents.as_bytes(), Path::new("/etc/aldis/users"))
}

fn sentence(contents: &str) -> String {
    parse(contents).expect_err("the file must be refused").to_string()
}

/// The fixture's line of one user.
fn line_of(user: &str) -> &'static str {
    FIXTURE.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap()
}

#[test]
fn passwords_set_with_mosquitto_passwd_are_accepted_and_others_are_not() {
    let file = parse(FIXTURE).unwrap();
    assert_eq!(file.len(), 6);
    let users = [
        ("alice", "correct horse"),
        ("bob smith", "pässwörd ☃"),
        ("edges", " leading and trailing "),
        ("carol", "tr0ub4dor&3"),
        ("dave", "x"),
        ("erin", "plain secret"),
    ];
    for (user, password) in users {
        assert!(file.verify(user, password.as_bytes()), "{user}");
        assert!(!file.verify(user, format!("{password} ").as_bytes()), "{user}");
        assert!(!file.verify(user, b""), "{user}");
        for (other, _) in users.iter().filter(|(other, _)| *other != user) {
            assert!(!file.verify(other, password.as_bytes()), "{user}'s password for {other}");
        }
    }
    assert!(!file.verify("nobody", b"correct horse"));
    assert!(!file.verify("", b""));
    assert!(!file.verify("Alice", b"correct horse"), "user names are compared byte by byte");
}

#[test]
fn comments_blank_lines_carriage_returns_and_a_missing_last_newline_are_fine() {
    let file =
        parse(&format!("#x:y\r\n\r\n   \n  # indented\n {} \r\n{}", line_of("alice"), line_of("carol")));
    let file = file.unwrap();
    assert_eq!(file.len(), 2);
    assert!(file.verify("alice", b"correct horse"));
    assert!(file.verify("carol", b"tr0ub4dor&3"));
}

#[test]
fn a_control_character_in_a_user_name_is_shown_and_not_sent_to_the_terminal() {
    assert_eq!(
        sentence("a\tb\u{1b}[2J:secret"),
        "password file /etc/aldis/users line 1: user \"a\\tb\\u{1b}[2J\" has a password in plain text; \
         convert the file with: mosquitto_passwd -U /etc/aldis/users"
    );
    for line in ["a\tb:", "a\tb:$7$x", "a\tb:$6$", "a\tb:$argon2id$", "a\tb:$2y$"] {
        assert!(!sentence(line).contains(char::is_control), "{line:?}");
    }
    let twice = line_of("alice").replace("alice", "a\tb");
    assert!(!sentence(&format!("{twice}\n{twice}")).contains(char::is_control));
}

#[test]
fn a_password_that_begins_like_a_kind_of_hash_is_not_shown() {
    for password in ["$argon2Secret", "$argon2$Secret", "$argon2idSecret$x"] {
        let sentence = sentence(&format!("alice:{password}"));
        assert!(!sentence.contains("Secret"), "{sentence}");
        assert!(sentence.contains("has a password in plain text"), "{sentence}");
    }
}

#[test]
fn an_empty_file_is_legal_and_lets_nobody_in() {
    let file = parse("").unwrap();
    assert!(file.is_empty());
    assert!(!file.verify("", b""));
    assert!(!file.verify("alice", b"correct horse"));
}

#[test]
fn a_password_in_plain_text_is_refused_with_the_way_to_convert_it() {
    assert_eq!(
        sentence("# users\nalice:secret\n"),
        "password file /etc/aldis/users line 2: user \"alice\" has a password in plain text; \
         convert the file with: mosquitto_passwd -U /etc/aldis/users"
    );
    for plain in ["a:$", "a:$5$x$y", "a:x$7$101$x$y", "a:$7", "a:$6"] {
        let sentence = sentence(plain);
        assert!(sentence.contains("line 1: user \"a\""), "{sentence}");
    }
}

#[test]
fn a_user_given_twice_is_refused_with_both_lines() {
    let alice = line_of("alice");
    assert_eq!(
        sentence(&format!("{alice}\n\n{alice}\n")),
        "password file /etc/aldis/users line 3: the user \"alice\" is already in line 1; remove one of the two"
    );
}

#[test]
fn damaged_lines_are_refused_without_showing_the_hash() {
    let salt = "9empR3pdTnPixzcY";
    let hash = "fKqohSN6gixN/Zg1fbYtCYSM+L7fF46PZD2oS9OfR50FXxfdZFEPHOjlR5ih9raNJaOg+WGE769adCAXot/lkw==";
    let cases = [
        ("just text".to_owned(), "there is no \":\" between user and hash"),
        (format!(":$7$101${salt}${hash}"), "the user name before the \":\" is empty"),
        ("a:".to_owned(), "user \"a\" has no password hash"),
        (format!("a:$7$0${salt}${hash}"), "iterations is not a whole number from 1 to 10000000"),
        (format!("a:$7$-1${salt}${hash}"), "iterations is not a whole number"),
        (format!("a:$7$10000001${salt}${hash}"), "iterations is not a whole number from 1 to 10000000"),
        (format!("a:$7$99999999999${salt}${hash}"), "iterations is not a whole number"),
        (format!("a:$7$101${salt}"), "not of the form $7$iterations$salt$hash"),
        (format!("a:$6${salt}"), "not of the form $6$salt$hash"),
        (format!("a:$6${salt}${hash}$more"), "not of the form $6$salt$hash"),
        (format!("a:$7$101$${hash}"), "the salt is not base64 of 1 to 256 bytes"),
        (format!("a:$7$101$***${hash}"), "the salt is not base64"),
        (format!("a:$7$101${salt}${}", &hash[..84]), "the hash is not base64 of 64 bytes"),
        (
            format!("a:$argon2id$v=19$m=1,t=1${salt}${hash}"),
            "has an argon2id hash, which this version does not read",
        ),
    ];
    for (line, expected) in cases {
        let sentence = sentence(&line);
        assert!(sentence.contains("/etc/aldis/users line 1: "), "{sentence}");
        assert!(sentence.contains(expected), "{line}: {sentence}");
        assert!(!sentence.contains(salt) && !sentence.contains(&hash[..20]), "{sentence}");
    }
    let latin1 = PasswordFile::parse(b"j\xfcrgen:x", Path::new("users")).unwrap_err().to_string();
    assert!(latin1.starts_with("password file users line 1: it is not UTF-8"), "{latin1}");
}

#[test]
fn the_debug_form_shows_no_hash() {
    assert_eq!(format!("{:?}", parse(FIXTURE).unwrap()), "PasswordFile(6 users)");
}

#[test]
fn files_are_read_from_disk_and_a_missing_one_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mosquitto_passwd.txt");
    assert!(PasswordFile::load(&path).unwrap().verify("erin", b"plain secret"));
    let missing = Path::new("/nonexistent/users");
    let sentence = PasswordFile::load(missing).unwrap_err().to_string();
    assert!(
        sentence.starts_with("cannot read the password file /nonexistent/users: No such file"),
        "{sentence}"
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test measures real time, not Tokio's")]
fn an_unknown_user_costs_what_most_users_cost() {
    // Were the work left out for a stranger, the answer would come thousands of times faster; two
    // measurements of the same work never differ by a factor of ten here.
    let slow = line_of("alice").replace("$101$", "$20000$");
    let file = parse(&format!("{slow}\n{}", line_of("carol"))).unwrap();
    let time = |user: &str| {
        let begun = std::time::Instant::now();
        assert!(!file.verify(user, b"wrong"));
        begun.elapsed()
    };
    let (known, unknown) = (time("alice"), time("nobody"));
    assert!(unknown * 10 > known, "known {known:?}, unknown {unknown:?}");
}
