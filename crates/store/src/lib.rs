//! What Aldis records, and the log it records it to.
