//! What there is to say about a store, for people.

use std::fmt::Write;
use std::path::Path;

use aldis_store::{Damage, FileDisk, Fold, GroupState, SegmentFacts, SessionState, Standing, Survey};

use crate::announcement;

/// Messages and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// What these messages take on disk.
fn amount(fold: &Fold, messages: impl Iterator<Item = u64>) -> Amount {
    let lengths = messages.filter_map(|message| fold.body(message)).map(|(_, length)| u64::from(length));
    lengths.fold(Amount::default(), |sum, length| Amount {
        messages: sum.messages + 1,
        bytes: sum.bytes + length,
    })
}

/// What a session is to receive.
pub(super) fn queue(fold: &Fold, state: &SessionState) -> Amount {
    amount(fold, state.deliveries.values().map(|delivery| delivery.message))
}

/// How much of that it may have got already.
pub(super) fn in_flight(state: &SessionState) -> usize {
    state.deliveries.values().filter(|delivery| delivery.standing != Standing::Queued).count()
}

/// What waits in a shared subscription.
pub(super) fn shared(fold: &Fold, state: &GroupState) -> Amount {
    amount(fold, state.queue.values().copied())
}

/// What is retained.
pub(super) fn retained(fold: &Fold) -> Amount {
    amount(fold, fold.retained.values().copied())
}

/// Wills of sessions that are still to be published, and those that are due.
pub(super) fn wills(fold: &Fold) -> (usize, usize) {
    (fold.sessions.values().filter(|state| state.will.is_some()).count(), fold.wills.len())
}

/// The answer to `inspect`. Writing into a `String` cannot fail.
pub(super) fn of(folder: &Path, survey: &Survey<FileDisk>) -> String {
    let mut out = String::new();
    let fold = &survey.fold;
    let (version, epoch) = (survey.version, survey.epoch);
    let _ = writeln!(out, "{}: format {version}, opened {epoch} times", folder.display());
    match &survey.checkpoint {
        Some(one) => {
            let _ = writeln!(out, "checkpoint: {}, {} bytes, up to frame {}", one.file, one.bytes, one.index);
        }
        None => out.push_str("checkpoint: none\n"),
    }
    let bytes: u64 = survey.segments.iter().map(|segment| segment.bytes).sum();
    let _ = writeln!(
        out,
        "segments: {}, {bytes} bytes, {} of them live; the last frame is {}",
        survey.segments.len(),
        fold.all_live_bytes(),
        survey.last_index
    );
    survey.segments.iter().for_each(|segment| self::segment(segment, &mut out));
    let spare: u64 = survey.spares.iter().sum();
    let _ = writeln!(out, "spare segments: {}, {spare} bytes", survey.spares.len());
    let _ = writeln!(out, "sessions: {}", fold.sessions.len());
    fold.sessions.values().for_each(|state| session(fold, state, &mut out));
    let _ = writeln!(out, "shared subscriptions: {}", fold.groups.len());
    for state in fold.groups.values() {
        let waits = shared(fold, state);
        let _ = writeln!(out, "  {:?}: {} messages, {} bytes", state.filter, waits.messages, waits.bytes);
    }
    let kept = retained(fold);
    let _ = writeln!(out, "retained: {} messages, {} bytes", kept.messages, kept.bytes);
    let (waiting, owed) = wills(fold);
    let _ = writeln!(out, "wills: {waiting} of sessions, {owed} that are due");
    let _ = writeln!(out, "messages that were begun and not finished: {}", survey.unfinished);
    if let Some(cut) = &survey.cut {
        let _ = writeln!(out, "{}", announcement::cut(cut));
    }
    if !survey.damage.is_empty() {
        let _ = writeln!(out, "damaged in {} places:", survey.damage.len());
        damage(survey, &mut out);
        let _ = writeln!(out, "{}", announcement::way_out(folder));
    }
    out
}

fn segment(facts: &SegmentFacts, out: &mut String) {
    let SegmentFacts { file, bytes, frames, epochs, indexes, live_bytes, .. } = facts;
    let _ = write!(out, "  {file}: {bytes} bytes, {live_bytes} live, ");
    let _ = match frames {
        0 => write!(out, "no frames"),
        _ => write!(out, "frames {} to {} of epochs {} to {}", indexes.0, indexes.1, epochs.0, epochs.1),
    };
    out.push_str(if facts.is_before_checkpoint { ", before the checkpoint\n" } else { "\n" });
}

fn session(fold: &Fold, state: &SessionState, out: &mut String) {
    let waits = queue(fold, state);
    let _ = writeln!(
        out,
        "  {:?}: {} messages, {} bytes, {} of them in flight; {} subscriptions; expires after {} s, {}",
        state.client_id,
        waits.messages,
        waits.bytes,
        in_flight(state),
        state.subscriptions.len(),
        state.session_expiry,
        if state.left_at.is_some() { "away" } else { "was connected" }
    );
}

fn damage(survey: &Survey<FileDisk>, out: &mut String) {
    for damage in &survey.damage {
        let _ = writeln!(out, "  {damage}");
    }
}

/// The answer to `verify`, which has read so many bodies.
pub(super) fn verified(folder: &Path, survey: &Survey<FileDisk>, bodies: usize) -> String {
    let mut out = String::new();
    if let Some(cut) = &survey.cut {
        let _ = writeln!(out, "{}", announcement::cut(cut));
    }
    let (shown, segments) = (folder.display(), survey.segments.len());
    if survey.damage.is_empty() {
        let _ = writeln!(out, "{shown}: {segments} segments and {bodies} messages are good");
        return out;
    }
    let _ = writeln!(out, "{shown}: damaged in {} places:", survey.damage.len());
    damage(survey, &mut out);
    let _ = writeln!(out, "{}", announcement::way_out(folder));
    out
}

/// Whether something of the state is lost, and not only of what it could be read from.
pub(super) fn loses_something(survey: &Survey<FileDisk>) -> bool {
    survey.damage.iter().any(|damage| !matches!(damage, Damage::Head | Damage::Checkpoint { .. }))
}

/// The answer to `salvage`.
pub(super) fn salvaged(into: &Path, survey: &Survey<FileDisk>, bytes: u64) -> String {
    let (mut out, fold) = (String::new(), &survey.fold);
    let _ = writeln!(
        out,
        "saved into {}: {} sessions, {} messages, {} of them retained; {bytes} bytes",
        into.display(),
        fold.sessions.len(),
        fold.messages(),
        fold.retained.len()
    );
    if let Some(cut) = &survey.cut {
        let _ = writeln!(out, "{}", announcement::cut(cut));
    }
    if !survey.damage.is_empty() {
        let _ = writeln!(out, "damaged in {} places:", survey.damage.len());
        damage(survey, &mut out);
    }
    if !loses_something(survey) {
        out.push_str("nothing is lost\n");
        return out;
    }
    out.push_str("lost:\n");
    losses(survey, &mut out);
    out
}

fn losses(survey: &Survey<FileDisk>, out: &mut String) {
    let (mut bodies, mut has_gap) = (0, false);
    for damage in &survey.damage {
        match damage {
            Damage::Body { .. } => bodies += 1,
            Damage::Head | Damage::Checkpoint { .. } => {}
            _ => has_gap = true,
        }
    }
    if bodies > 0 {
        let _ = writeln!(out, "  {bodies} messages whose bodies are damaged, as named above");
    }
    let losses = &survey.losses;
    if losses.messages > 0 {
        let _ =
            writeln!(out, "  up to {} messages that were published in frames that are lost", losses.messages);
    }
    for (client_id, messages) in &losses.deliveries {
        let _ = writeln!(out, "  up to {messages} messages for {client_id:?}");
    }
    for session in &losses.sessions {
        let _ = writeln!(out, "  session number {session}, of which the beginning is lost");
    }
    if has_gap {
        out.push_str(
            "  whatever else was in the frames and files named above: subscriptions, retained messages, wills\n  \
             what was acknowledged, replaced or ended in them may come back\n",
        );
    }
}
