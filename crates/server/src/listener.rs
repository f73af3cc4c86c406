//! Accepting connections.
//!
//! Not here: what a connection is told (`reception`), and how many there may be (`places`). A listener
//! waits for no client: each connection gets a task of its own.

use crate::notices::Kind;
use crate::process;
use crate::reception;
use crate::server::{Doors, StartError};
use crate::settings::Listener;
use crate::transport::tcp;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system may hold until they are accepted: room for a reconnect storm.
const BACKLOG: u32 = 4096;
/// How long accepting rests when the system has nothing left to accept with (file descriptors).
const REST: Duration = Duration::from_millis(100);
/// `EMFILE`: the process has as many files open as it may. The number is that of Linux, the BSDs and macOS.
const TOO_MANY_FILES: i32 = 24;

/// Binds the listeners, but for those that are optional and whose address the machine lacks.
pub(crate) fn bind(listeners: &[Listener]) -> Result<Vec<TcpListener>, StartError> {
    let mut bound = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let address = listener.address;
        match open(address) {
            Ok(listener) => bound.push(listener),
            Err(error) if listener.optional && error.kind() != io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(StartError::Listen { address, error }),
        }
    }
    Ok(bound)
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // Everywhere the same, whatever the system's default: on Linux `[::]` would take the port of every
        // IPv4 address with it, and a listener for those would find it taken.
        socket2::SockRef::from(&socket).set_only_v6(true)?;
    }
    // A restart must not wait for the connections of the last run to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the server closes its doors.
pub(crate) async fn accept(listener: TcpListener, doors: Arc<Doors>) {
    let open_files = process::open_files_limit();
    loop {
        // The end first: nobody is let in after it, however many knock.
        let accepted = tokio::select! {
            biased;
            () = doors.closing() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match tcp::connection(stream, peer) {
                Ok(connection) => admit(connection, &doors, false),
                Err(error) => tracing::debug!(target: "aldis", "{peer}: {error}"),
            },
            Err(error) => {
                let why = why_not_accepted(&error, open_files);
                doors.notices.warn(Kind::Accept, format_args!("cannot accept connections: {why}"));
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// What the system says, and what to do about it where that is known.
pub(crate) fn why_not_accepted(error: &io::Error, open_files: Option<u64>) -> String {
    if error.raw_os_error() != Some(TOO_MANY_FILES) {
        return error.to_string();
    }
    let all = open_files.map(|limit| format!("{limit} ")).unwrap_or_default();
    format!("this process has all its {all}files open; raise LimitNOFILE= or lower limits.connections")
}

/// Starts the Client of a connection, if there is a place for it.
pub(crate) fn admit(connection: crate::transport::Connection, doors: &Arc<Doors>, trusted: bool) {
    let Some(mut place) = doors.places.take(doors.broker.limits().connections) else {
        return reception::no_place(doors, format_args!("connection from {}", connection.peer));
    };
    let doors = Arc::clone(doors);
    crate::spawn(async move {
        // Boxed: what the reception needs is given back before the long life of the connection.
        if let Some(client) = Box::pin(reception::receive(connection, doors, trusted, &mut place)).await {
            client.run().await;
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use super::why_not_accepted;
    use std::io;

    #[test]
    fn a_process_without_free_files_is_told_what_to_raise() {
        let why = |limit| why_not_accepted(&io::Error::from_raw_os_error(24), limit);
        let end = "files open; raise LimitNOFILE= or lower limits.connections";
        assert_eq!(why(Some(1024)), format!("this process has all its 1024 {end}"));
        assert_eq!(why(None), format!("this process has all its {end}"));
        let other = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(why_not_accepted(&other, Some(1024)), other.to_string());
    }
}
