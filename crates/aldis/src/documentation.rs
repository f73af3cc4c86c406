//! The reference part of `docs/configuration.md`, written from the table of settings.
//!
//! A test compares the file with this, so the two cannot drift apart.

use std::fmt::Write as _;

use crate::configuration::setting::{self, Setting};

/// Where the generated part of the document begins.
pub const BEGIN: &str = "<!-- settings: begin (written from the table of settings; a test compares) -->";
/// Where it ends.
pub const END: &str = "<!-- settings: end -->";

/// Every setting as a section of Markdown.
#[must_use]
pub fn settings_reference() -> String {
    setting::all().map(section).collect()
}

fn section(setting: &Setting) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "### `{}`", setting.name);
    let _ = writeln!(text, "{}", setting.help);
    let _ = writeln!(text, "- Takes: {}", setting.kind.describe());
    let _ = writeln!(text, "- Default: {}", setting.show_default());
    let _ = writeln!(text, "- Why: {}", setting.reason);
    let _ = writeln!(text, "- Reload: {}", setting.effect.describe());
    let _ = writeln!(text, "- Environment: `{}`", setting.variable());
    text.push('\n');
    text
}
