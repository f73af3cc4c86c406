//! Numbers with units: sizes in bytes and spans of time, read and written for people.

/// A unit: its spellings in lower case, the one to write first, and how many of the base it is.
type Unit = (&'static [&'static str], u64);

const SIZES: &[Unit] = &[
    (&["TiB"], 1 << 40),
    (&["GiB"], 1 << 30),
    (&["MiB"], 1 << 20),
    (&["KiB"], 1 << 10),
    (&["TB"], 1_000_000_000_000),
    (&["GB"], 1_000_000_000),
    (&["MB"], 1_000_000),
    (&["kB"], 1_000),
    (&["B", "bytes"], 1),
];

/// In milliseconds.
const TIMES: &[Unit] = &[
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["min", "m", "minute", "minutes"], 60_000),
    (&["s", "sec", "second", "seconds"], 1_000),
    (&["ms"], 1),
];

/// Bytes of `64 MiB`, `256KiB`, `1MB`, `100000`. `None` if it is no such thing or does not fit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    parse(text, SIZES, 1)
}

/// Milliseconds of `10 s`, `5m`, `30d`, `250 ms`; a number alone is seconds.
pub(crate) fn parse_milliseconds(text: &str) -> Option<u64> {
    parse(text, TIMES, 1_000)
}

/// The shortest exact form: `64 MiB`, `65535 bytes`.
pub(crate) fn show_size(bytes: u64) -> String {
    match largest_divisor(bytes, SIZES.iter().take(4)) {
        Some((name, factor)) => format!("{} {name}", show_count(bytes / factor)),
        None => format!("{} bytes", show_count(bytes)),
    }
}

/// The shortest exact form: `30 d`, `10 s`, `250 ms`.
pub(crate) fn show_milliseconds(milliseconds: u64) -> String {
    match largest_divisor(milliseconds, TIMES.iter()) {
        Some((name, factor)) => format!("{} {name}", show_count(milliseconds / factor)),
        None => "0 s".to_owned(),
    }
}

/// `1_000_000`: easier to compare than a row of zeros, and a number in TOML.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push('_');
        }
        shown.push(digit);
    }
    shown
}

/// What was probably meant by `100,000`, `100.000.000`, `100 000` or a number in quotes.
pub(crate) fn parse_grouped(text: &str) -> Option<u64> {
    let groups: Vec<&str> =
        text.trim().split([',', '.', '\'', '’', ' ', '\u{a0}', '\u{202f}', '_']).collect();
    let is_number = |group: &&str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    let (first, rest) = groups.split_first()?;
    let is_grouped = rest.is_empty() || (first.len() <= 3 && rest.iter().all(|group| group.len() == 3));
    (is_grouped && groups.iter().all(is_number)).then(|| groups.concat().parse().ok())?
}

fn parse(text: &str, units: &[Unit], factor_without_unit: u64) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(digits_end)?;
    let number: u64 = digits.replace('_', "").parse().ok()?;
    let unit = unit.trim();
    let factor = if unit.is_empty() {
        factor_without_unit
    } else {
        let spelled = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
        units.iter().find(|(names, _)| spelled(names))?.1
    };
    number.checked_mul(factor)
}

fn largest_divisor<'a>(
    number: u64,
    mut units: impl Iterator<Item = &'a Unit>,
) -> Option<(&'static str, u64)> {
    let (names, factor) = units.find(|(_, factor)| number > 0 && number.is_multiple_of(*factor))?;
    names.first().map(|name| (*name, *factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("0", 0),
            ("100_000", 100_000),
            ("64 MiB", 64 << 20),
            ("256KiB", 256 << 10),
            ("256kib", 256 << 10),
            (" 1MB ", 1_000_000),
            ("3 GB", 3_000_000_000),
            ("2 TiB", 2 << 40),
            ("7 bytes", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 MiB", "64 M", "64 mebibytes", "99999999 TiB", "1 MiB x", "_"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        for (text, milliseconds) in [
            ("10", 10_000),
            ("10 s", 10_000),
            ("5m", 300_000),
            ("5 min", 300_000),
            ("2h", 7_200_000),
            ("30d", 2_592_000_000),
            ("1 day", 86_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(parse_milliseconds(text), Some(milliseconds), "{text}");
        }
        for text in ["", "s", "1.5 s", "-1s", "5 weeks", "1h30m", "99999999999999999 d"] {
            assert_eq!(parse_milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn groups_of_three_are_a_number() {
        for (text, number) in
            [("100,000", 100_000), ("1.000.000", 1_000_000), ("1\u{a0}000", 1_000), ("0100", 100)]
        {
            assert_eq!(parse_grouped(text), Some(number), "{text}");
        }
        for text in ["", ",", "1,5", "1,0000", "1000,000", "1,000,", "1 KiB", "-1", "99999999999999999999"] {
            assert_eq!(parse_grouped(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for bytes in [1, 1000, 1023, 1024, 65_535, 1 << 20, 3 << 30, (1 << 40) + 1] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        for milliseconds in [0, 1, 999, 1_000, 90_000, 3_600_000, 2_592_000_000, 4_294_967_295_000] {
            assert_eq!(parse_milliseconds(&show_milliseconds(milliseconds)), Some(milliseconds));
        }
        assert_eq!(show_size(64 << 20), "64 MiB");
        assert_eq!(show_size(65_535), "65_535 bytes");
        assert_eq!(show_milliseconds(2_592_000_000), "30 d");
        assert_eq!(
            [show_count(1), show_count(100_000), show_count(1_000_000)],
            ["1", "100_000", "1_000_000"]
        );
    }
}
